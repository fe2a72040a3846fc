"""Laws that every method keeps, and a check of one method against them: also of a student's class.

>>> from kvbook import laws
>>> laws.check(MyMethod)                      # doctest: +SKIP
>>> laws.against_naive("snapkv", MySnapKV)    # doctest: +SKIP
"""

from kvbook.laws.against_naive import against_naive
from kvbook.laws.check import Report, Row, check
from kvbook.laws.law import CounterExample
from kvbook.laws.laws import LAWS

__all__ = ["LAWS", "CounterExample", "Report", "Row", "against_naive", "check"]
