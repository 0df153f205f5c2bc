"""The models of the zoo, in tiny configurations: timm, transformers, and hand-written families with controls."""

from subjects import catalogue, papers, timm_models, transformers_models
from subjects.registry import SUBJECTS, Subject

__all__ = ["SUBJECTS", "Subject", "catalogue", "papers", "timm_models", "transformers_models"]
