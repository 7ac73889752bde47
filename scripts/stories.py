"""Writes the stories of docs/stories anew: `make docs`."""

from pathlib import Path

from rppam_sim.stories import STORIES, tell

FOLDER = Path(__file__).parents[1] / "docs" / "stories"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, story in STORIES.items():
        (FOLDER / f"{name}.txt").write_text(tell(story), encoding="utf-8")
        print(f"wrote docs/stories/{name}.txt")


if __name__ == "__main__":
    main()
