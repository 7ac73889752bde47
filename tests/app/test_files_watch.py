"""A history or a log that cannot be written is told; nothing is written to find that out."""

from pathlib import Path

from rppam.app.files_watch import FilesWatch


async def test_a_history_that_cannot_be_written_is_told_until_it_can(tmp_path: Path) -> None:
    watch = FilesWatch(tmp_path, None)
    assert await watch.look() == "", "it is made with the first entry"
    history = tmp_path / "history.jsonl"
    history.mkdir()
    assert f"{history} cannot be written (Is a directory)" in await watch.look()
    history.rmdir()
    history.write_bytes(b"{}\n")
    assert await watch.look() == ""
    assert history.read_bytes() == b"{}\n"
    history.unlink()
    history.symlink_to(tmp_path / "elsewhere")
    assert "cannot be written" in await watch.look(), "writers follow no link, either"


async def test_so_is_a_folder_of_logs(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    watch = FilesWatch(tmp_path, logs)
    assert f"logging.directory: {logs} cannot be written (it is not there)" in await watch.look()
    logs.mkdir()
    assert await watch.look() == ""
    (logs / "rppam-20261118.log").mkdir()
    assert "(Is a directory)" in await watch.look()
