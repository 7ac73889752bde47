"""The real HAProxy and nginx with a configuration that ``rppam lb`` has written."""

import os
import shutil
from pathlib import Path


def where_is(name: str) -> str | None:
    """The program, also where it is for administrators alone."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def nginx_file(folder: Path, text: str) -> Path:
    """A whole configuration of nginx around ``text``, with all that it writes in ``folder``."""
    folder.mkdir(exist_ok=True)
    (folder / "rppam.conf").write_text(text)
    file = folder / "nginx.conf"
    file.write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;\n"
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
        f"include {folder}/rppam.conf; }}\n"
    )
    return file


def command_of(kind: str, program: str, file: Path) -> list[str]:
    """What starts it in the foreground with the file that ``rppam lb`` wrote; what nginx writes lies beside that."""
    if kind == "haproxy":
        return [program, "-db", "-f", str(file)]
    folder = file.parent
    return [program, "-c", str(nginx_file(folder / "nginx-run", file.read_text())), "-p", str(folder)]
