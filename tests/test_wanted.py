"""A name, a class or nothing where a method or a loaded model is wanted: one message, before anything runs."""

import ast
import inspect
from importlib import import_module
from types import SimpleNamespace

import pytest
from conftest import make_model

from kvbook import create_method
from kvbook.chat import Chat
from kvbook.engine.attach import attach
from kvbook.errors import ParameterError, wanted
from kvbook.lm.costs import ModelShape
from kvbook.methods import SnapKV
from kvbook.methods.base import as_method, as_methods
from kvbook.places import PACKAGE
from kvbook.profiling.prediction import predict

TAKES = {
    "chat.chat": ["Chat", "Chat.load"],
    "finetune.answers": ["continue_text", "generate_answers"],
    "finetune.merge": ["load_adapter"],
    "finetune.score.surprise": ["surprise_by_part"],
    "lm.generation": ["generate_words"],
    "ondevice.bounded": ["check_method", "open_cache"],
    "ondevice.chat": ["DeviceChat"],
    "ondevice.measure": ["compare"],
    "ondevice.weights": ["files_of", "home_of"],
    "profiling.agreement": ["compare_with_cpu"],
    "profiling.bench": ["bench"],
    "profiling.breakdown": ["break_down", "quickest"],
    "profiling.decoded_token": ["take_token_apart"],
    "profiling.calculator": ["shares_on_paper"],
    "profiling.hardware": ["measure_hardware"],
    "profiling.memory": ["FreshProcesses", "fresh_processes"],
    "profiling.one_run": ["run_once"],
    "profiling.plan": ["plan"],
    "profiling.prediction": ["predict"],
    "profiling.profile": ["profile"],
    "profiling.timing": ["measure", "measure_all", "read_text"],
    "profiling.within": ["Within"],
    "tasks.budgets": ["ask_budgets", "ask_varied"],
    "tasks.consultations": ["make_consultation"],
    "tasks.conversations": ["recall"],
    "tasks.document": ["ask_document", "make_document"],
    "tasks.equal_bytes": ["compare_bytes"],
    "tasks.evaluation": ["evaluate", "evaluate_all", "split_items"],
    "tasks.fidelity": [
        "agreements",
        "make_probe",
        "make_probes",
        "measure_fidelity",
        "measure_probe",
    ],
    "tasks.frames": ["looking_head", "record"],
    "tasks.harder": ["ask_second"],
    "tasks.instructions": ["follow_rules", "held_of_system"],
    "tasks.needle": ["ask", "ask_all", "ask_each", "ask_grid", "ask_grids", "say_each"],
    "tasks.recall": ["measure_recall"],
    "tasks.scores": ["ask_tasks"],
    "tasks.stream": ["cut_essays", "stream_nll"],
    "tasks.trial": ["as_example", "read_example", "try_method"],
    "tasks.votes": ["read_copy"],
}
"""By module, what takes a loaded model (``lm``), a method, or several by name (``methods``)."""
CHECKED_BEFORE = {
    "chat.saved": ["read_chat", "write_chat"],
    "finetune.train": ["check_padding"],
    "lm.identity": ["identity_of"],
    "lm.models": ["check_loaded"],
    "ondevice.bounded": ["check_step", "room_for"],
    "ondevice.saved": ["write_chat"],
    "profiling.bench": ["measure_peaks", "take_prefill_apart", "time_panel"],
    "profiling.beside_kvpress": ["run_beside_kvpress"],
    "profiling.breakdown": ["Watched"],
    "profiling.memory": ["FreshProcesses.peaks"],
    "profiling.one_run": ["or_stock"],
    "profiling.timing": ["warm_up"],
    "tasks.evaluation": ["summarise"],
    "tasks.following": ["follow", "next_logs", "write_along"],
    "tasks.frames": ["Watched", "judged"],
    "tasks.side_by_side": ["try_side_by_side"],
    "tasks.together": ["answer_together"],
    "tasks.votes": ["stand"],
    "tasks.header": ["describe", "describe_method", "parameters_of", "code_of"],
}
"""The same, of functions that get what another one has checked."""
NAMES = {"profiling.calculator": ["tabulate"], "tasks.frames": ["record_toy"]}
"""What takes names of methods."""
ROOMS = ("chat", "finetune", "lm", "ondevice", "profiling", "tasks")


def declared():
    """By module, the public functions, classes and methods with such a parameter, read from the sources."""
    for path in sorted(one for room in ROOMS for one in (PACKAGE / room).rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        own = [(one.name, one) for one in tree.body if isinstance(one, ast.FunctionDef)]
        for cls in (one for one in tree.body if isinstance(one, ast.ClassDef)):
            own += [
                (cls.name if one.name == "__init__" else f"{cls.name}.{one.name}", one)
                for one in cls.body
                if isinstance(one, ast.FunctionDef)
            ]
        for name, function in own:
            takes = {one.arg for one in function.args.args} & {"lm", "method", "methods"}
            if takes and not any(part.startswith("_") for part in name.split(".")):
                yield module, name


def listed(table):
    return {(module, name) for module, names in table.items() for name in names}


def find(module, name):
    found = import_module(f"kvbook.{module}")
    for part in name.split("."):
        found = getattr(found, part)
    return found


def call(function, **given):
    """With nothing of use for what is not ``given``: an error must come before it is looked at."""
    parameters = inspect.signature(function).parameters.values()
    by_place = [
        given.pop(one.name, object())
        for one in parameters
        if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD
    ]
    return function(*by_place, **given)


def taking(parameter):
    return [
        pytest.param(find(*one), id=".".join(one))
        for one in sorted(listed(TAKES))
        if parameter in inspect.signature(find(*one)).parameters
    ]


@pytest.fixture(scope="module")
def lm():
    return SimpleNamespace(model=make_model("llama"), tokenizer=SimpleNamespace(), name="tiny")


def rest(function, lm):
    """A loaded model, where a function takes one beside its method, and a configuration."""
    parameters = inspect.signature(function).parameters
    good = {"lm": lm, "config": lm.model.config}
    return {name: one for name, one in good.items() if name in parameters}


def test_the_table_has_all_that_take_a_loaded_model_or_a_method():
    assert set(declared()) == listed(TAKES) | listed(CHECKED_BEFORE) | listed(NAMES)


@pytest.mark.parametrize("given", ["smollm2-135m", None, "model"], ids=str)
@pytest.mark.parametrize("function", taking("lm"))
def test_what_is_no_loaded_model_is_refused(function, given, lm):
    with pytest.raises(ParameterError, match="a loaded model is wanted, not .*load_model"):
        call(function, lm=lm.model if given == "model" else given)


@pytest.mark.parametrize("given", [SnapKV, 3], ids=["class", "number"])
@pytest.mark.parametrize("function", taking("method"))
def test_what_is_no_method_is_refused(function, given, lm):
    with pytest.raises(ParameterError, match="a method is wanted, not .*create_method"):
        call(function, **rest(function, lm), method=given)


@pytest.mark.parametrize("function", taking("method"))
def test_no_method_is_refused_where_it_does_not_mean_transformers_alone(function, lm):
    if function.__name__ in ("measure", "run_once"):
        return
    with pytest.raises(ParameterError, match="a method is wanted, not None"):
        call(function, **rest(function, lm), method=None)


@pytest.mark.parametrize(
    "name, says",
    [("snapkv", "snapkv needs 'budget'.*create_method"), ("snapvk", "unknown method 'snapvk'")],
)
@pytest.mark.parametrize("function", taking("method"))
def test_a_name_that_is_not_enough_says_what_is(function, name, says, lm):
    with pytest.raises(ParameterError, match=says):
        call(function, **rest(function, lm), method=name)


@pytest.mark.parametrize("given", [["fullkv"], "fullkv"], ids=str)
@pytest.mark.parametrize("function", taking("methods"))
def test_several_methods_come_by_name(function, given, lm):
    with pytest.raises(ParameterError, match="a mapping of names to .* is wanted, not"):
        call(function, **rest(function, lm), methods=given)


def test_each_of_several_is_a_method():
    with pytest.raises(ParameterError, match="a method is wanted, not the class SnapKV"):
        as_methods({"mine": SnapKV})


def test_a_name_that_is_enough_is_the_method(lm):
    config, full = lm.model.config, create_method("fullkv")
    assert as_method("fullkv") == full and as_method(full) is full
    assert predict(config, "fullkv", 100, 2) == predict(config, full, 100, 2)


@pytest.mark.parametrize("given", ["Qwen/Qwen3-0.6B", None, "lm"], ids=str)
def test_what_is_no_configuration_is_refused(given, lm):
    with pytest.raises(ParameterError, match="a configuration of transformers is wanted, not"):
        ModelShape.of(lm if given == "lm" else given)


@pytest.mark.parametrize("given", ["smollm2-135m", None, "lm"], ids=str)
def test_a_method_is_attached_to_a_model_of_pytorch(given, lm):
    attached = create_method("fullkv").attach(lm if given == "lm" else given)
    with pytest.raises(ParameterError, match=r"a model of PyTorch is wanted.*lm\.model"), attached:
        pass


@pytest.mark.parametrize("given", ["fullkv", "snapkv", SnapKV, None, "model"], ids=str)
def test_the_engine_attaches_no_name_which_would_keep_everything(given, lm):
    """It knows no catalogue, and any object may be a method of its own."""
    attached = attach(lm.model if given == "model" else given, lm.model)
    with pytest.raises(ParameterError, match="a method is wanted, not"), attached:
        pass


def test_a_chat_with_the_name_of_a_method_has_the_method(lm):
    tokenizer = SimpleNamespace(chat_template="{{ messages }}")
    assert Chat(SimpleNamespace(model=lm.model, tokenizer=tokenizer), "fullkv").method.name


@pytest.mark.parametrize(
    "given, said",
    [("x", "'x'"), (None, "None"), (SnapKV, "the class SnapKV"), (3, "something of type int")],
    ids=str,
)
def test_the_message_says_what_was_given_and_what_to_give(given, said):
    assert str(wanted("a method", given, "this")) == f"a method is wanted, not {said}: give this"
