"""The workspace's memory: an unbounded n-gram model over the files of the project, mixed into the denoiser's own."""

from engine.memory.index import Memory, View
from engine.memory.match import Match
from engine.memory.store import TokenStore
from engine.memory.window import look_back

__all__ = ["Match", "Memory", "TokenStore", "View", "look_back"]
