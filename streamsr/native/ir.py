"""Writes LLVM IR as text: numbered values, counted loops and conditions. Pure strings; LLVM checks
the result.

Text rather than a builder because vector code reads better that way, and the generator then needs
no import.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class Function:
    """A function under construction: ``f(text)`` adds an instruction that has a result, and returns
    the result's name.

    Values are named ``%v1``, ``%v2``, ... in the order in which they are added, so that the same
    calls give the same text.
    """

    def __init__(self, name: str, params: str, *, linkage: str = "internal") -> None:
        self._lines = [f"define {linkage} void @{name}({params}) nounwind {{", "entry:"]
        self._count = 0
        self._block = "entry"

    def __call__(self, text: str) -> str:
        self._count += 1
        self._lines.append(f"  %v{self._count} = {text}")
        return f"%v{self._count}"

    def do(self, text: str) -> None:
        """Add an instruction without a result."""
        self._lines.append(f"  {text}")

    def text(self) -> str:
        return "\n".join([*self._lines, "  ret void", "}", ""])

    def _label(self, *names: str) -> list[str]:
        self._count += 1
        return [f"{name}{self._count}" for name in names]

    def _enter(self, label: str) -> None:
        self._lines.append(f"{label}:")
        self._block = label

    def at(self, pointer: str, offset: str | int) -> str:
        """Move ``pointer`` by ``offset`` bytes."""
        return self(f"getelementptr i8, ptr {pointer}, i64 {offset}")

    def load(self, kind: str, pointer: str, offset: str | int = 0) -> str:
        """Load without any assumption on alignment."""
        return self(f"load {kind}, ptr {self.at(pointer, offset)}, align 1")

    def store(self, kind: str, value: str, pointer: str, offset: str | int = 0) -> None:
        self.do(f"store {kind} {value}, ptr {self.at(pointer, offset)}, align 1")

    def add(self, a: str | int, b: str | int) -> str:
        return self(f"add i64 {a}, {b}")

    def mul(self, a: str | int, b: str | int) -> str:
        return self(f"mul i64 {a}, {b}")

    def least(self, a: str | int, b: str | int) -> str:
        return self(f"select i1 {self(f'icmp slt i64 {a}, {b}')}, i64 {a}, i64 {b}")

    def most(self, a: str | int, b: str | int) -> str:
        return self(f"select i1 {self(f'icmp sgt i64 {a}, {b}')}, i64 {a}, i64 {b}")

    def pointer(self, word: str) -> str:
        return self(f"inttoptr i64 {word} to ptr")

    def splat(self, lanes: int, kind: str, value: str) -> str:
        one = self(f"insertelement <{lanes} x {kind}> poison, {kind} {value}, i64 0")
        vector = f"<{lanes} x {kind}>"
        return self(
            f"shufflevector {vector} {one}, {vector} poison, <{lanes} x i32> zeroinitializer"
        )

    def shuffle(self, lanes: int, a: str, b: str, mask: list[int]) -> str:
        """Pick bytes from ``a`` (0..lanes-1) and ``b`` (lanes..2*lanes-1); both are ``<lanes x
        i8>``."""
        picks = ", ".join(f"i32 {m}" for m in mask)
        return self(
            f"shufflevector <{lanes} x i8> {a}, <{lanes} x i8> {b}, <{len(mask)} x i32> <{picks}>"
        )

    def joined(self, lanes: int, kind: str, low: str, high: str, offset: str | int = 0) -> str:
        """Two loads of so many elements as one vector."""
        parts = [self.load(f"<{lanes} x {kind}>", pointer, offset) for pointer in (low, high)]
        picks = ", ".join(f"i32 {k}" for k in range(2 * lanes))
        vector = f"<{lanes} x {kind}>"
        return self(
            f"shufflevector {vector} {parts[0]}, {vector} {parts[1]}, <{2 * lanes} x i32> <{picks}>"
        )

    def half(self, lanes: int, value: str, which: int, kind: str = "i8") -> str:
        """The lower or upper half of a vector of so many elements."""
        picks = ", ".join(f"i32 {which * lanes // 2 + k}" for k in range(lanes // 2))
        vector = f"<{lanes} x {kind}>"
        return self(
            f"shufflevector {vector} {value}, {vector} poison, <{lanes // 2} x i32> <{picks}>"
        )

    @contextmanager
    def loop(self, start: str | int, end: str | int, step: int = 1) -> Iterator[str]:
        """Emit ``for i in range(start, end, step)`` on i64; the body gets the index."""
        with self.carry(start, end, step, [], []) as (index, _):
            yield index

    @contextmanager
    def carry(
        self,
        start: str | int,
        end: str | int,
        step: int,
        kinds: Sequence[str],
        values: Sequence[str],
    ) -> Iterator[tuple[str, list[str]]]:
        """Emit the same with values of the types ``kinds`` carried from turn to turn, such as sums.

        The body gets the index and a list of the carried values' names. It replaces the items of
        that list by the values for the next turn; after the loop the list names the final values.
        """
        head, body, done = self._label("head", "body", "done")
        before, index = self._block, f"%i{self._count}"
        self.do(f"br label %{head}")
        self._enter(head)
        at, names = len(self._lines), [f"{index}.{k}" for k in range(len(values))]
        self.do(f"br i1 {self(f'icmp slt i64 {index}, {end}')}, label %{body}, label %{done}")
        self._enter(body)
        items = list(names)
        yield index, items
        self.do(f"{index}.next = add i64 {index}, {step}")
        self.do(f"br label %{head}")
        phis = [
            ("i64", index, str(start), f"{index}.next"),
            *zip(kinds, names, values, items, strict=True),
        ]
        self._lines[at:at] = [
            f"  {n} = phi {k} [{v}, %{before}], [{i}, %{self._block}]" for k, n, v, i in phis
        ]
        self._enter(done)
        items[:] = names

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """Emit ``if condition:`` for an i1."""
        then, done = self._label("then", "done")
        self.do(f"br i1 {condition}, label %{then}, label %{done}")
        self._enter(then)
        yield
        self.do(f"br label %{done}")
        self._enter(done)
