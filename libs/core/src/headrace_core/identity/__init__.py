"""Who is who: edges that tie an alias to a customer, and what follows from all of them (docs/services/identity.md).

An *alias* is a user id or an anonymous id. An *edge* is what one source says about one alias at one time. Nothing here is
ever merged for good: the resolution is a function of the edges, so that taking an edge back takes back what followed from it.
"""

from headrace_core.identity.edges import (
    EVERY_CUSTOMER,
    MOST_ID_BYTES,
    AliasKind,
    Edge,
    EdgeOp,
    decode_edge,
    edge_flaw,
    edge_key,
    edges_of,
    encode_edge,
    is_nobody,
    split_edge_key,
    user_key_of,
)
from headrace_core.identity.index import (
    MAX_ALIASES_PER_CUSTOMER,
    MAX_CHAIN,
    MAX_CUSTOMERS_PER_ALIAS,
    MOST_EDGES_OF_AN_ALIAS,
    EdgeRecord,
    IdentityIndex,
    edge_record,
)
from headrace_core.identity.resolution import AliasRow, Ambiguity, CustomerRow, Resolution, resolve

__all__ = [
    "EVERY_CUSTOMER",
    "MAX_ALIASES_PER_CUSTOMER",
    "MAX_CHAIN",
    "MAX_CUSTOMERS_PER_ALIAS",
    "MOST_EDGES_OF_AN_ALIAS",
    "MOST_ID_BYTES",
    "AliasKind",
    "AliasRow",
    "Ambiguity",
    "CustomerRow",
    "Edge",
    "EdgeOp",
    "EdgeRecord",
    "IdentityIndex",
    "Resolution",
    "decode_edge",
    "edge_flaw",
    "edge_key",
    "edge_record",
    "edges_of",
    "encode_edge",
    "is_nobody",
    "resolve",
    "split_edge_key",
    "user_key_of",
]
