"""Python's operators for objects that stand for an array."""

from typing import Any


class Arithmetic:
    """Operators written once, in terms of `_operate(name, left, right)`."""

    def _operate(self, name: str, *operands: Any) -> Any:
        raise NotImplementedError

    def __add__(self, other: Any) -> Any:
        return self._operate("add", self, other)

    def __radd__(self, other: Any) -> Any:
        return self._operate("add", other, self)

    def __sub__(self, other: Any) -> Any:
        return self._operate("sub", self, other)

    def __rsub__(self, other: Any) -> Any:
        return self._operate("sub", other, self)

    def __mul__(self, other: Any) -> Any:
        return self._operate("mul", self, other)

    def __rmul__(self, other: Any) -> Any:
        return self._operate("mul", other, self)

    def __truediv__(self, other: Any) -> Any:
        return self._operate("truediv", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._operate("truediv", other, self)

    def __floordiv__(self, other: Any) -> Any:
        return self._operate("floordiv", self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return self._operate("floordiv", other, self)

    def __mod__(self, other: Any) -> Any:
        return self._operate("mod", self, other)

    def __rmod__(self, other: Any) -> Any:
        return self._operate("mod", other, self)

    def __pow__(self, other: Any) -> Any:
        return self._operate("pow", self, other)

    def __rpow__(self, other: Any) -> Any:
        return self._operate("pow", other, self)

    def __matmul__(self, other: Any) -> Any:
        return self._operate("matmul", self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return self._operate("matmul", other, self)

    def __neg__(self) -> Any:
        return self._operate("neg", self)

    def __abs__(self) -> Any:
        return self._operate("abs", self)

    def __pos__(self) -> Any:
        return self._operate("pos", self)

    def __invert__(self) -> Any:
        return self._operate("invert", self)

    def __and__(self, other: Any) -> Any:
        return self._operate("and_", self, other)

    def __rand__(self, other: Any) -> Any:
        return self._operate("and_", other, self)

    def __or__(self, other: Any) -> Any:
        return self._operate("or_", self, other)

    def __ror__(self, other: Any) -> Any:
        return self._operate("or_", other, self)

    def __xor__(self, other: Any) -> Any:
        return self._operate("xor", self, other)

    def __rxor__(self, other: Any) -> Any:
        return self._operate("xor", other, self)

    def __lt__(self, other: Any) -> Any:
        return self._operate("lt", self, other)

    def __le__(self, other: Any) -> Any:
        return self._operate("le", self, other)

    def __gt__(self, other: Any) -> Any:
        return self._operate("gt", self, other)

    def __ge__(self, other: Any) -> Any:
        return self._operate("ge", self, other)

    def __getitem__(self, index: Any) -> Any:
        return self._operate("getitem", self, index)
