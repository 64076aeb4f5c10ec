"""One holder per IP: grants, renews and ends leases, lets requests wait in turn, and shares scarce IPs out by offer.

Never knows messages of the wire, SQL or settings; stores and observers are Protocols that this room declares.
"""
