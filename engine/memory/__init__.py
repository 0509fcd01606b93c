"""The workspace's memory: an unbounded n-gram model over the files of the project, mixed into the denoiser's own."""

from engine.memory.index import Memory, View
from engine.memory.line_trust import (
    DRAFTED,
    LEAST,
    SURE,
    SURE_READ,
    WORTH_READING,
    chance_of_denoiser,
    chance_of_line,
    chances_read,
)
from engine.memory.lines import Line, rests_of_line
from engine.memory.match import Match
from engine.memory.proposal import NOTHING, Proposal, as_sure, behind
from engine.memory.store import TokenStore
from engine.memory.window import look_back

__all__ = [
    "DRAFTED",
    "LEAST",
    "NOTHING",
    "SURE",
    "SURE_READ",
    "WORTH_READING",
    "Line",
    "Match",
    "Memory",
    "Proposal",
    "TokenStore",
    "View",
    "as_sure",
    "behind",
    "chance_of_denoiser",
    "chance_of_line",
    "chances_read",
    "look_back",
    "rests_of_line",
]
