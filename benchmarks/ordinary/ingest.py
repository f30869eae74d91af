"""``python -m benchmarks.ordinary.ingest PORT BOOTSTRAP``: FastAPI with a pydantic model, one send_and_wait per event."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import uvicorn
from aiokafka import AIOKafkaProducer
from fastapi import FastAPI
from pydantic import BaseModel, Field

__all__ = ["TOPIC", "Event", "create_app"]

TOPIC = "bench.ordinary"


class Event(BaseModel):
    """The native event as a model."""

    id: Annotated[str, Field(max_length=512)]
    type: Literal["track", "page", "screen", "identify", "group", "alias", "custom"]
    name: Annotated[str, Field(max_length=512)]
    time: datetime
    user_id: str | None = None
    anonymous_id: str | None = None
    context: dict[str, Any] = {}
    properties: dict[str, Any] = {}


def create_app(bootstrap: str) -> FastAPI:
    """The service; it answers once every event is acknowledged by all replicas."""
    state: dict[str, AIOKafkaProducer] = {}

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", max_request_size=8 << 20)
        await producer.start()
        state["producer"] = producer
        yield
        await producer.stop()

    app = FastAPI(lifespan=life)

    async def put(event: Event) -> None:
        value = event.model_dump_json().encode()
        received = datetime.now(UTC).isoformat().encode()
        await state["producer"].send_and_wait(
            TOPIC, value, key=event.id.encode(), headers=[("received_at", received)]
        )

    @app.post("/v1/events")
    async def many(events: list[Event]) -> dict[str, bool]:
        await asyncio.gather(*(put(event) for event in events))
        return {"success": True}

    @app.post("/v1/event")
    async def one(event: Event) -> dict[str, bool]:
        await put(event)
        return {"success": True}

    return app


if __name__ == "__main__":
    uvicorn.run(create_app(sys.argv[2]), port=int(sys.argv[1]), log_level="warning", access_log=False)
