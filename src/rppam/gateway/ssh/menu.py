"""The menu of targets, for those who named none: a list, and a line to type a choice into.

Decides what is drawn and chosen. It reads keys as a terminal sends them, and knows no more editing than backspace.
"""

from collections.abc import Sequence
from typing import Final

from rppam.gateway.ports import Route

SHOWN_MAX: Final = 200
LINE_CHARS: Final = 200
_ENTER, _BACK, _GIVE_UP = frozenset("\r\n"), frozenset("\x08\x7f"), frozenset("\x03\x04")


class Menu:
    """See the module."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = list(routes)
        self._line = ""
        self.chosen: Route | None = None
        self.is_given_up = False

    def picture(self) -> str:
        """What is drawn first."""
        width = max((len(one.target) for one in self._routes[:SHOWN_MAX]), default=0)
        lines = ["RP-PAM: choose a target.", ""]
        lines += [
            f"  {number:>3}  {one.target:<{width}}  {one.account}"
            for number, one in enumerate(self._routes[:SHOWN_MAX], 1)
        ]
        if len(self._routes) > SHOWN_MAX:
            lines.append(f"       ... and {len(self._routes) - SHOWN_MAX} more; type their names")
        return "\r\n".join(["", *lines, "", self._prompt()])

    def typed(self, data: bytes) -> str:
        """What to draw after these keys; :attr:`chosen` or :attr:`is_given_up` may be set then."""
        drawn = ""
        for key in data.decode("utf-8", "ignore"):
            if key in _GIVE_UP:
                self.is_given_up = True
                return drawn + "\r\n"
            if key in _ENTER:
                drawn += "\r\n" + self._entered()
                if self.chosen is not None or self.is_given_up:
                    return drawn
            elif key in _BACK:
                drawn += "\b \b" if self._line else ""
                self._line = self._line[:-1]
            elif key.isprintable() and len(self._line) < LINE_CHARS:
                self._line += key
                drawn += key
        return drawn

    def _entered(self) -> str:
        line, self._line = self._line.strip(), ""
        if line in {"q", "quit", "exit"}:
            self.is_given_up = True
            return ""
        found = self._meant(line)
        if len(found) == 1:
            self.chosen = found[0]
            return ""
        problem = "" if not line else "Several match; " if found else f"There is no {line!r}; "
        return f"{problem}type a number or a name, q to leave.\r\n{self._prompt()}"

    def _meant(self, line: str) -> list[Route]:
        if line.isdecimal() and 1 <= int(line) <= len(self._routes):
            return [self._routes[int(line) - 1]]
        exact = [one for one in self._routes if line in {one.target, f"{one.account}+{one.target}"}]
        return exact or [one for one in self._routes if line and one.target.startswith(line)]

    def _prompt(self) -> str:
        return "Target: "


class Question:
    """A question that is answered with yes or no."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.chosen: bool | None = None
        self.is_given_up = False

    def picture(self) -> str:
        """What is drawn first."""
        return f"\r\nRP-PAM: {self._text} [Y/n] "

    def typed(self, data: bytes) -> str:
        """What to draw after these keys; :attr:`chosen` may be set then. Enter means yes."""
        for key in data.decode("utf-8", "ignore").lower():
            if key in "yn" or key in _ENTER:
                self.chosen = key != "n"
            elif key in _GIVE_UP:
                self.chosen, self.is_given_up = False, True
            if self.chosen is not None:
                return ("yes" if self.chosen else "no") + "\r\n"
        return ""
