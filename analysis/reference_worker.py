"""The loop of a reference's own process: requests in, answers out, by pickle.

Read next: `analysis.reference`, which starts such a process and talks to it.
"""

import pickle
from collections.abc import Callable
from typing import Any, BinaryIO, TypeAlias

Answer: TypeAlias = tuple[bool, Any]
"""(True, what was found), or (False, why not)."""


def answer_all(
    version: str,
    answer: Callable[[Any], Answer],
    requests: BinaryIO,
    answers: BinaryIO,
) -> None:
    """Tell the version, then answer requests until their stream ends."""
    pickle.dump((True, version), answers)
    answers.flush()
    while True:
        try:
            inputs = pickle.load(requests)
        except EOFError:
            return
        pickle.dump(answer(inputs), answers, protocol=pickle.HIGHEST_PROTOCOL)
        answers.flush()
