"""How proxy providers are sold: endpoint, login grammar and sessions of each, as data.

A profile holds no secret and belongs to no account. Never anything of a network here: profiles are read, checked and
rendered; who dials and who judges is elsewhere.
"""
