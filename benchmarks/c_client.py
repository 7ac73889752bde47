"""What the C client of the server's own makers reaches: ``redis-benchmark``, the limit of what goes over a socket."""

import csv
import subprocess


def benchmark_get_us(port: int, password: str, seconds: float, key: str = "k") -> float:
    """Median time of a GET of ``key`` on one connection, in us. Raises ``CalledProcessError``."""
    words = ["redis-benchmark", "-p", str(port), "-a", password, "--csv", "-c", "1", "-n", str(int(20_000 * seconds))]
    ran = subprocess.run([*words, "get", key], capture_output=True, text=True, timeout=120, check=True)
    row = next(csv.reader([line for line in ran.stdout.splitlines() if line.startswith('"')][-1:]))
    return float(row[4]) * 1000
