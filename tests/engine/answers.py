"""Answers as they can be compared between engines."""

from __future__ import annotations

from dataclasses import replace

from engine.types import CompleteAnswer, Completion


def without_steps(answer: CompleteAnswer) -> list[Completion]:
    """The items, whatever number of passes they took: drafting follows how well an engine's earlier drafts held."""
    return [replace(item, steps=0) for item in answer.items]
