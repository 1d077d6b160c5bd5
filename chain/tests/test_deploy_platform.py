"""Deploying the platform: once, twice, after a crash, and on the wrong chain."""

from chain.gateway import gateway
from chain.types import Standing


def test_it_deploys(platform, settle):
    assert gateway().standing(platform.sbt) == Standing.NONE
    settle()
