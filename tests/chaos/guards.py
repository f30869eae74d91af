"""The guards of the protocol that a run can take away, one at a time."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Guard"]


class Guard(StrEnum):
    """A guard on dedup, stage, load or the batch jobs; the value is what `--without` takes."""

    # dedup (D1-D8)
    COMPARE_AND_APPEND = "compare-and-append"
    RESEND_AT_START = "resend-at-start"
    RESEND_AFTER_REREAD = "resend-after-reread"
    AWAIT_OUTPUTS = "await-outputs"
    AWAIT_EDGES = "await-edges"
    RESEND_EDGES = "resend-edges"
    EMPTY_BLOCK_AFTER_OUTPUTS = "empty-block-after-outputs"
    IN_ORDER = "in-order"
    UNDO = "undo"
    UNDO_RESTORES_EXPIRED = "undo-restores-expired"
    FORGET_QUARANTINED = "forget-quarantined"
    RUNNING_CLOCK = "running-clock"
    HORIZON_AT_FIRST = "horizon-at-first"
    OWN_BLOCK_BY_BYTES = "own-block-by-bytes"
    VOID_IS_UNREAD = "void-is-unread"
    BLOCK_BEFORE_OUTPUTS = "block-before-outputs"
    POSITION_FROM_BLOCKS = "position-from-blocks"
    # stage (S1, S2)
    SOURCE_OFFSET_FILTER = "source-offset-filter"
    LAST_CARRIED = "last-carried"
    IF_NONE_MATCH = "if-none-match"
    EXACT_COLLECTION = "exact-collection"
    # load (L1-L3)
    LOCK_FIRST = "lock-first"
    LEDGER_CHECK = "ledger-check"
    COUNT_CHECK = "count-check"
    DEDUP_WITHIN_BATCH = "dedup-within-batch"
    INSERT_IF_ABSENT = "insert-if-absent"
    LOWEST_OFFSET_WINS = "lowest-offset-wins"
    LEDGER_IN_TRANSACTION = "ledger-in-transaction"
    NO_BLIND_COMMIT_RETRY = "no-blind-commit-retry"
    SETTLED_IN_CHAIN_ORDER = "settled-in-chain-order"
    SUPPRESSION = "suppression"
    # batch jobs (B1-B4, E1-E5)
    PLAN_ETAG = "plan-etag"
    POINTER_SEQUENCE = "pointer-sequence"
    DIFFERENCE_BY_FILE = "difference-by-file"
    DAY_LOCK_FIRST = "day-lock-first"
    LOWEST_IN_LAKE = "lowest-in-lake"
    LOWEST_IN_DIFFERENCE = "lowest-in-difference"
    SUPPRESSION_AFTER_PLAN = "suppression-after-plan"
    SECOND_EXCLUSION = "second-exclusion"
    ERASURE_LOCK = "erasure-lock"
    SWAP_PLANNED_DAYS = "swap-planned-days"
    REPROCESS_LOADED_ONLY = "reprocess-loaded-only"
    ENTER_BEFORE_LEAVE = "enter-before-leave"
    UNDO_REFUSES = "undo-refuses"
