"""The menu of ``rppam-ha-manager``: the product's items on a terminal, each of which types one of the direct commands.

Decides only what to ask for: every item becomes the words of a command, which are shown before they are run, so that
what was done by the menu can be done again by a script. An item that changes something asks first.
"""

import asyncio
import shlex
import sys
from typing import ClassVar, Final, NamedTuple

from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Footer, Input, Label, OptionList, RichLog, Static
from textual.widgets.option_list import Option

BANNER: Final = "RP-PAM HA Manager v1.0"


class Field(NamedTuple):
    """Something that an item asks for."""

    label: str
    option: str
    """The option that it becomes; empty: a word by itself."""
    value: str = ""
    is_needed: bool = True


class Item(NamedTuple):
    """One line of the menu."""

    key: str
    title: str
    words: tuple[str, ...]
    fields: tuple[Field, ...] = ()
    changes: bool = False
    """Whether it changes the cluster, and so is shown before it is run."""


ITEMS: Final = (
    Item("1", "Cluster Status", ("status",)),
    Item(
        "2",
        "Add Node",
        ("add-node",),
        (
            Field("Host", "--host"),
            Field("Port", "--port", "7101"),
            Field("Role (standby or witness)", "--role", "standby"),
        ),
    ),
    Item("3", "Remove Node", ("remove-node",), (Field("Node", ""),), changes=True),
    Item("4", "Push Config", ("push-config", "--yes"), (Field("File", ""),), changes=True),
    Item(
        "5",
        "Failover Test",
        ("failover-test", "--yes"),
        (Field("Method", "--method", "switchover"), Field("Report file (.html)", "--report", "", is_needed=False)),
        changes=True,
    ),
    Item("6", "VIP Configuration", ("vip",)),
    Item("7", "Redis Configuration", ("redis",)),
    Item(
        "8", "Node Maintenance Mode", ("maintenance",), (Field("Node", ""), Field("on or off", "", "on")), changes=True
    ),
    Item("0", "Exit", ()),
)


def words_of(item: Item, values: list[str]) -> list[str]:
    """The words of the command. ValueError names a field that is needed and empty."""
    words = list(item.words)
    for field, value in zip(item.fields, values, strict=True):
        if not value.strip():
            if field.is_needed:
                raise ValueError(f"{field.label}: expected something, found nothing")
            continue
        words += [field.option, value.strip()] if field.option else [value.strip()]
    return words


class Ask(ModalScreen[list[str] | None]):
    """Asks for the fields of an item; its words, or nothing."""

    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [("escape", "leave", "Back")]

    def __init__(self, item: Item) -> None:
        super().__init__()
        self._item = item

    def compose(self) -> ComposeResult:
        """The form."""
        with VerticalScroll(id="form"):
            yield Label(self._item.title, id="title")
            for number, field in enumerate(self._item.fields):
                yield Label(field.label)
                yield Input(field.value, id=f"field{number}")
            yield Static("", id="problem", markup=False)
            yield Button("Run", id="run", variant="warning" if self._item.changes else "primary")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter goes on to the next field, and runs it after the last."""
        fields = list(self.query(Input))
        after = fields.index(event.input) + 1
        if after < len(fields):
            fields[after].focus()
        else:
            self.query_one("#run", Button).press()

    def on_button_pressed(self) -> None:
        """Run it, unless something is missing."""
        try:
            self.dismiss(words_of(self._item, [one.value for one in self.query(Input)]))
        except ValueError as error:
            self.query_one("#problem", Static).update(str(error))

    def action_leave(self) -> None:
        """Back to the menu; nothing is done."""
        self.dismiss(None)


class Confirm(ModalScreen[bool]):
    """Shows a command that changes the cluster before it is run."""

    BINDINGS: ClassVar[list[BindingType]] = [("y", "answer(True)", "Yes"), ("n,escape", "answer(False)", "No")]

    def __init__(self, words: list[str]) -> None:
        super().__init__()
        self._words = words

    def compose(self) -> ComposeResult:
        """The question."""
        with VerticalScroll(id="form"):
            yield Static(f"rppam-ha-manager {shlex.join(self._words)}", markup=False)
            yield Label("This changes the cluster. Run it? (y/n)")

    def action_answer(self, yes: bool) -> None:
        """Say so."""
        self.dismiss(yes)


class Menu(App[None]):
    """The menu, and below it what commands say."""

    TITLE = BANNER
    CSS = """
    #banner { text-style: bold; padding: 1 2 0 2; }
    OptionList { height: auto; max-height: 12; margin: 1 2; }
    RichLog { margin: 0 2; border: round $primary; }
    #form { width: 70; height: auto; padding: 1 2; border: round $primary; background: $surface; }
    Ask, Confirm { align: center middle; }
    #problem { color: $error; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(item.key, f"item('{item.key}')", item.title, show=False) for item in ITEMS
    ]

    def __init__(self, before: list[str]) -> None:
        """``before``: how to start the direct commands."""
        super().__init__()
        self._before = before

    def compose(self) -> ComposeResult:
        """Banner, items, and what was said."""
        yield Static(BANNER, id="banner", markup=False)
        yield OptionList(*(Option(f"{item.key}) {item.title}", id=f"item{item.key}") for item in ITEMS))
        yield RichLog(wrap=True)
        yield Footer()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """An item was chosen."""
        self.action_item(str(event.option_id).removeprefix("item"))

    def action_item(self, key: str) -> None:
        """Ask for what the item needs, and run it."""
        item = next(one for one in ITEMS if one.key == key)
        if not item.words:
            self.exit()
            return
        self._choose(item)

    @work(exclusive=True)
    async def _choose(self, item: Item) -> None:
        words: list[str] | None = list(item.words)
        if item.fields:
            words = await self.push_screen_wait(Ask(item))
        if words is None or (item.changes and not await self.push_screen_wait(Confirm(words))):
            return
        log = self.query_one(RichLog)
        log.write(f"$ rppam-ha-manager {shlex.join(words)}")
        made = await asyncio.create_subprocess_exec(
            *self._before,
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert made.stdout is not None
        async for line in made.stdout:
            log.write(line.decode(errors="replace").rstrip("\n"))
        log.write(f"exit code {await made.wait()}")


def show_menu() -> None:
    """Until somebody leaves it."""
    Menu([sys.executable, "-m", "rppam.app.ha_manager"]).run()
