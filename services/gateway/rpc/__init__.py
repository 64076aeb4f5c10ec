"""The gateway's gRPC services: OfferAdmin, ClickLog and WebhookAdmin, each checking requests whole before it acts.

`codec` alone translates between messages and the model. Never asyncpg or SQL: the servicers declare their stores as
Protocols.
"""
