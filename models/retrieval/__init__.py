"""From imagined titles to candidates: keyword and vector search, merge, filters. Knows nothing about language models."""

from models.retrieval.merge import MergePolicy
from models.retrieval.retriever import RetrievalPolicy, Retriever, distinct, retrieve
from models.retrieval.vectors import Tower

__all__ = ["MergePolicy", "RetrievalPolicy", "Retriever", "Tower", "distinct", "retrieve"]
