"""The client that the commands ask a node with; a node that hands an order on asks with the same one."""

from rppam.adapters.system.rest_client import BODY_BYTES_MAX, Answer, NoAnswerError, ask_json, get_json

__all__ = ["BODY_BYTES_MAX", "Answer", "NoAnswerError", "ask_json", "get_json"]
