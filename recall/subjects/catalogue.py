"""The catalogue's mechanisms as models of the zoo."""

from __future__ import annotations

from mechanisms import MODELS

from subjects.registry import SUBJECTS, Subject

for _name, (_make, _inputs) in MODELS.items():
    SUBJECTS[f"mechanism_{_name}"] = Subject(_make, _inputs, "mechanisms")
