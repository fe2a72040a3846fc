// A device for tests, named to PyTorch by second.py. Its memory is the CPU's and its arithmetic is
// the CPU's, so every result is the CPU's to the last bit. It differs in two ways, both CUDA's:
// an operator refuses tensors of two devices, and the host waits where it needs a value (told to a
// listener). PyTorch keeps a place for such devices, PrivateUse1.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/Resize.h>
#include <ATen/native/TensorFactories.h>
#include <ATen/ops/_local_scalar_dense_native.h>
#include <ATen/ops/copy_native.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/set_cpu_dispatch.h>
#include <ATen/ops/set_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <cstdlib>
#include <sstream>
#include <unordered_set>

namespace {
using at::Tensor;
using c10::Device, c10::DeviceIndex, c10::DeviceType, c10::DispatchKey, c10::IValue, c10::Stream;

const auto TYPE = DeviceType::PrivateUse1;
const Device SECOND(TYPE, 0);
const Stream ONLY_STREAM(Stream::DEFAULT, SECOND);

void (*listener)(const char*) = nullptr;
void wait(const std::string& why) {
  if (listener) listener(why.c_str());
}

std::unordered_set<std::string> takes_scalars;  // operators to which CUDA lets a CPU scalar come

bool is_ours(const Tensor& t) { return t.device().type() == TYPE; }

// ---- memory, and what PyTorch asks every device for ---------------------------------------------

struct Memory final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* at = bytes ? std::aligned_alloc(64, (bytes + 63) / 64 * 64) : nullptr;
    return {at, at, &std::free, SECOND};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* to, const void* from, size_t n) const override { default_copy_data(to, from, n); }
} memory;
REGISTER_ALLOCATOR(TYPE, &memory);

struct Guard final : c10::impl::DeviceGuardImplInterface {
  DeviceType type() const override { return TYPE; }
  Device exchangeDevice(Device) const override { return SECOND; }
  Device getDevice() const override { return SECOND; }
  void setDevice(Device) const override {}
  void uncheckedSetDevice(Device) const noexcept override {}
  Stream getStream(Device) const override { return ONLY_STREAM; }
  Stream getDefaultStream(Device) const override { return ONLY_STREAM; }
  Stream exchangeStream(Stream) const override { return ONLY_STREAM; }
  DeviceIndex deviceCount() const noexcept override { return 1; }
  bool queryStream(const Stream&) const override { return true; }
  void synchronizeStream(const Stream&) const override {}
  void synchronizeDevice(const DeviceIndex) const override {}
  void record(void**, const Stream&, const DeviceIndex, const c10::EventFlag) const override {}
  void synchronizeEvent(void*) const override {}
  void destroyEvent(void*, const DeviceIndex) const noexcept override {}
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return false; }  // only who names the device gets it
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  DeviceIndex deviceCount() const override { return 1; }
  DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(DeviceIndex) const override {}
  DeviceIndex exchangeDevice(DeviceIndex) const override { return 0; }
  DeviceIndex maybeExchangeDevice(DeviceIndex) const override { return 0; }
  const at::Generator& getDefaultGenerator(DeviceIndex) const override {
    return at::detail::getDefaultCPUGenerator();  // so that a seed draws what it draws on the CPU
  }
  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t bytes) const override {
    auto larger = memory.allocate(bytes);
    if (storage.data()) std::memcpy(larger.get(), storage.data(), std::min(bytes, storage.nbytes()));
    auto* changed = storage.unsafeGetStorageImpl();
    changed->set_data_ptr_noswap(std::move(larger));
    changed->set_nbytes(bytes);
  }
};

// ---- one memory, two devices: the same numbers as a tensor of the other ---------------------------

Tensor placed_as(Tensor made, const Tensor& like) {
  made.unsafeGetTensorImpl()->set_sizes_and_strides(like.sizes(), like.strides(), like.storage_offset());
  return made;
}

Tensor over(c10::Storage storage, DispatchKey key, const Tensor& like) {
  return placed_as(at::detail::make_tensor<c10::TensorImpl>(
                       std::move(storage), c10::DispatchKeySet(key), like.dtype()), like);
}

// under torch.inference_mode a view of an ordinary tensor is an ordinary tensor: it has its keys
Tensor view_of(const Tensor& base, const Tensor& like) {
  return placed_as(at::detail::make_tensor<c10::TensorImpl>(
                       c10::TensorImpl::VIEW, c10::Storage(base.storage()), base.key_set(), like.dtype()), like);
}

void* memory_of(const Tensor& t) { return const_cast<void*>(t.storage().data()); }

Tensor as_cpu(const Tensor& t) {  // owns nothing: `t` outlives it
  c10::Storage storage(c10::Storage::use_byte_size_t(), t.storage().nbytes(),
                       c10::DataPtr(memory_of(t), Device(DeviceType::CPU)), at::getCPUAllocator(), true);
  auto made = over(std::move(storage), DispatchKey::CPU, t);
  if (t.unsafeGetTensorImpl()->is_wrapped_number()) made.unsafeGetTensorImpl()->set_wrapped_number(true);
  return made;
}

struct Pair {  // an argument, and what the CPU's kernel was given for it
  Tensor ours, cpu;
  void* memory;
};

Tensor as_ours(const Tensor& t, const std::vector<Pair>& arguments) {
  for (const auto& one : arguments) {
    if (t.is_same(one.cpu)) return one.ours;  // in place
    if (t.storage().is_alias_of(one.cpu.storage())) return view_of(one.ours, t);
  }
  auto* owner = new Tensor(t);
  c10::DataPtr data(memory_of(t), owner, [](void* held) { delete static_cast<Tensor*>(held); }, SECOND);
  c10::Storage storage(c10::Storage::use_byte_size_t(), t.storage().nbytes(), std::move(data), &memory, true);
  return over(std::move(storage), DispatchKey::PrivateUse1, t);
}

// ---- every operator: look at its arguments, and let the CPU do it ---------------------------------

// CUDA must know how many there are before it can go on
const std::unordered_set<std::string> COUNTED = {
    "aten::nonzero", "aten::masked_select", "aten::_unique", "aten::_unique2", "aten::unique_dim",
    "aten::unique_consecutive", "aten::bincount", "aten::repeat_interleave", "aten::equal"};

void on_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const auto& schema = op.schema();
  const auto& name = schema.name();
  const auto full = name + (schema.overload_name().empty() ? "" : "." + schema.overload_name());
  const bool puts = name.find("index_put") != std::string::npos;
  std::vector<Pair> arguments;
  std::vector<Tensor> others;
  bool mask_put = false, asked = false;  // the result was asked for on this device, by a device argument
  auto one = [&](const Tensor& t, bool index) -> Tensor {
    if (!t.defined()) return t;
    if (is_ours(t)) {
      mask_put = mask_put || (puts && index && t.scalar_type() == at::kBool);
      arguments.push_back({t, as_cpu(t), memory_of(t)});
      return arguments.back().cpu;
    }
    if (index) {
      if (puts) wait(full + " with an index on the CPU");  // reading with one copies it first
    } else if (t.dim() > 0 || !takes_scalars.count(full)) {
      others.push_back(t);
    }
    return t;
  };
  const auto first = stack->end() - schema.arguments().size();
  for (auto value = first; value != stack->end(); ++value) {
    if (value->isTensor()) *value = one(value->toTensor(), false);
    else if (value->isTensorList()) {
      c10::List<Tensor> made;
      for (const Tensor& t : value->toTensorVector()) made.push_back(one(t, false));
      *value = made;
    } else if (value->isOptionalTensorList()) {  // indices
      c10::List<std::optional<Tensor>> made;
      for (const std::optional<Tensor>& t : value->toOptionalTensorVector())
        made.push_back(t ? std::optional<Tensor>(one(*t, true)) : t);
      *value = made;
    } else if (value->isDevice()) {
      asked = asked || value->toDevice().type() == TYPE;
      *value = Device(DeviceType::CPU);
    } else if (value->isGenerator()) {
      TORCH_CHECK(false, "Expected a 'second' device type for generator but found 'cpu', in ", full);
    }
  }
  if (!arguments.empty()) {
    TORCH_CHECK(others.empty(), "Expected all tensors to be on the same device, but ", full, " got one of ",
                arguments[0].ours.sizes(), " on ", SECOND, " and one of ", others[0].sizes(), " on cpu");
    if (COUNTED.count(name)) wait(full);
    if (mask_put) wait(full + " with a mask");  // reading with one goes through `nonzero`
  }
  op.redispatchBoxed(c10::DispatchKeySet(DispatchKey::CPU), stack);
  for (const auto& each : arguments)  // `out=` of another size: the CPU gave it new memory
    if (memory_of(each.cpu) != each.memory || !each.cpu.sizes().equals(each.ours.sizes())) {
      at::native::resize_(each.ours, each.cpu.sizes());
      auto to = as_cpu(each.ours);
      at::native::copy_(to, each.cpu, false);
    }
  if (arguments.empty() && !asked) return;
  for (auto value = stack->end() - schema.returns().size(); value != stack->end(); ++value) {
    if (value->isTensor() && value->toTensor().defined()) *value = as_ours(value->toTensor(), arguments);
    else if (value->isTensorList()) {
      c10::List<Tensor> made;
      for (const Tensor& t : value->toTensorVector()) made.push_back(t.defined() ? as_ours(t, arguments) : t);
      *value = made;
    }
  }
}

// ---- what makes memory, or goes from one device to the other ---------------------------------------

Tensor empty(c10::IntArrayRef size, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout>,
             std::optional<Device>, std::optional<bool>, std::optional<c10::MemoryFormat> format) {
  return at::detail::empty_generic(
      size, &memory, c10::DispatchKeySet(DispatchKey::PrivateUse1), c10::dtype_or_default(dtype), format);
}

Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<c10::ScalarType> dtype,
                     std::optional<c10::Layout>, std::optional<Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(
      size, stride, &memory, c10::DispatchKeySet(DispatchKey::PrivateUse1), c10::dtype_or_default(dtype));
}

Tensor copy_from(const Tensor& from, const Tensor& to, bool non_blocking) {
  if (is_ours(from) != is_ours(to) && from.numel() && !non_blocking)
    wait(is_ours(from) ? "copy to the CPU" : "copy from the CPU");
  auto target = is_ours(to) ? as_cpu(to) : to;
  auto source = is_ours(from) ? as_cpu(from) : from;
  at::native::copy_(target, source.expand(target.sizes()), false);
  return to;
}

Tensor copy_from_and_resize(const Tensor& from, const Tensor& to) {
  at::native::resize_(to, from.sizes());
  return copy_from(from, to, false);
}

at::Scalar item(const Tensor& t) {
  wait("item");
  return at::native::_local_scalar_dense_cpu(as_cpu(t));
}

const Tensor& resize_(const Tensor& t, c10::SymIntArrayRef size, std::optional<at::MemoryFormat> format) {
  return at::native::resize_(t, C10_AS_INTARRAYREF_SLOW(size), format);
}
Tensor& set_tensor(Tensor& t, const Tensor& source) { return at::native::set_tensor_(t, source); }
Tensor& set_storage(Tensor& t, at::Storage source) { return at::native::set_(t, source); }
Tensor& set_part(Tensor& t, at::Storage source, int64_t offset, c10::IntArrayRef size, c10::IntArrayRef stride) {
  return at::cpu::set_(t, source, offset, size, stride);
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("_local_scalar_dense", item);
  m.impl("resize_", resize_);
  m.impl("set_.source_Tensor", set_tensor);
  m.impl("set_.source_Storage", set_storage);
  m.impl("set_.source_Storage_storage_offset", set_part);
  // whole, so that the kernel is the one that the CPU chooses
  m.impl("scaled_dot_product_attention", torch::CppFunction::makeFromBoxedFunction<&on_cpu>());
}
TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&on_cpu>()); }
}  // namespace

extern "C" {
void second_start() { at::RegisterPrivateUse1HooksInterface(new Hooks()); }
void second_takes_scalars(const char* operator_name) { takes_scalars.insert(operator_name); }
void second_listen(void (*f)(const char*)) { listener = f; }
}
