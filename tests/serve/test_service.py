"""The service: overload, idle sessions, budgets, slow consumers, sources, and the graceful end."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from masklet.errors import MaskletError, ResourceError, SettingsError, StateError, VideoError
from masklet.predict.mask_generator import MaskGeneratorOptions
from masklet.prompts import click
from masklet.segmenter import Segmenter
from masklet.serve.image_store import ImageStore
from masklet.serve.limits import Limits
from masklet.serve.service import Service
from masklet.serve.sessions import Sessions
from masklet.serve.sources import Sources
from support.api_server import IMAGE, encode_png
from support.gray_world import GrayWorld, draw_boxes

FRAMES = [encode_png(draw_boxes({100: (5 + step, 5, 20 + step, 20)})) for step in range(6)]


def run(work: Callable[[Service], Coroutine[Any, Any, Any]], limits: Limits | None = None, backend: Any = None) -> Any:
    """Run a coroutine with a service."""

    async def serve() -> Any:
        service = Service(lambda: Segmenter(backend or GrayWorld()), limits)
        service.start()
        while not service.is_ready:
            await asyncio.sleep(0.001)
        try:
            return await asyncio.wait_for(work(service), 60)
        finally:
            await service.stop()
            assert not service.upload_folder.exists()

    return asyncio.run(serve())


def test_requests_beyond_the_limit_are_refused_until_others_end() -> None:
    async def overload(service: Service) -> None:
        gate = threading.Event()
        image = await service.read_image(encode_png())
        await service.embed(image)
        busy = asyncio.create_task(service.thread.call(lambda model: gate.wait(30)))
        await asyncio.sleep(0.01)
        tasks = [asyncio.create_task(service.predict(image, click(15, 10))) for _ in range(5)]
        await asyncio.sleep(0.01)
        refused = [task for task in tasks if task.done()]
        assert len(refused) == 2 and service.thread.refused_count == 2
        for task in refused:
            assert isinstance(task.exception(), StateError) and task.exception().code == "overloaded"  # type: ignore
        gate.set()
        await busy
        assert [len(await task) for task in tasks if task not in refused] == [1, 1, 1]
        assert len(await service.predict(image, click(15, 10))) == 1 and service.thread.request_count == 0

    run(overload, Limits(waiting=3))


def test_before_the_model_is_loaded_and_if_it_cannot_be() -> None:
    async def fail() -> None:
        gate = threading.Event()

        def load() -> Segmenter:
            gate.wait(30)
            raise ResourceError("device-unavailable", "there is no such device")

        service = Service(load)
        service.start()
        image = await service.read_image(encode_png())
        with pytest.raises(StateError, match="is being loaded"):
            await service.predict(image, click(1, 1))
        gate.set()
        with pytest.raises(ResourceError, match="no such device"):
            await asyncio.to_thread(service.thread.wait_until_loaded)
        with pytest.raises(ResourceError, match="no such device"):
            await service.predict(image, click(1, 1))
        assert not service.is_ready
        await service.stop()

    asyncio.run(fail())


def test_a_stop_finishes_what_runs_and_refuses_the_rest() -> None:
    async def stop() -> None:
        gate, service = threading.Event(), Service(lambda: Segmenter(GrayWorld()))
        service.start()
        while not service.is_ready:
            await asyncio.sleep(0.001)
        image = await service.read_image(encode_png())
        running = asyncio.create_task(service.thread.call(lambda model: gate.wait(30)))
        waiting = asyncio.create_task(service.predict(image, click(15, 10)))
        await asyncio.sleep(0.01)
        ending = asyncio.create_task(service.stop())
        await asyncio.sleep(0.01)
        assert not service.is_ready
        with pytest.raises(StateError, match="the server stops"):
            await service.predict(image, click(1, 1))
        gate.set()
        assert await running and len(await waiting) == 1
        await ending

    asyncio.run(stop())


def test_a_stop_does_not_wait_longer_than_the_limit() -> None:
    async def stop() -> None:
        gate, service = threading.Event(), Service(lambda: Segmenter(GrayWorld()), Limits(drain_s=0.05))
        service.start()
        while not service.is_ready:
            await asyncio.sleep(0.001)
        image = await service.read_image(encode_png())
        await service.embed(image)
        running = asyncio.create_task(service.thread.call(lambda model: gate.wait(30)))
        waiting = asyncio.create_task(service.predict(image, click(15, 10)))
        await asyncio.sleep(0.01)
        threading.Timer(0.3, gate.set).start()
        await service.stop()
        assert await running
        with pytest.raises(StateError, match="the server stops"):
            await waiting

    asyncio.run(stop())


def test_idle_sessions_end() -> None:
    async def wait(service: Service) -> None:
        now, released = [0.0], []
        sessions = Sessions(service.thread, Limits(sessions=2, session_idle_s=60), lambda: now[0])
        first = await sessions.create(on_release=lambda: released.append(1))
        second = await sessions.create(await service.open_frames(FRAMES), on_release=lambda: released.append(2))
        first.last_use = second.last_use = 0.0
        with pytest.raises(StateError, match="2 video sessions are open"):
            await sessions.create()
        now[0] = 61.0
        third = await sessions.create()
        assert released == [1, 2] and len(sessions) == 1 and sessions.get(third.id) is third
        for session in (first, second):
            with pytest.raises(StateError) as raised:
                sessions.get(session.id)
            assert raised.value.code == "session-gone"
            with pytest.raises(StateError, match="ended"):
                await session.prompt(0, click(1, 1), IMAGE)
        sessions.close()

    run(wait)


def test_a_stream_is_tracked_frame_by_frame() -> None:
    async def track(service: Service) -> None:
        session = await service.sessions.create()
        images = [draw_boxes({100: (5 + step, 5, 20 + step, 20)}) for step in range(3)]
        assert (await session.prompt(0, click(10, 10), images[0])).boxes[0].tolist() == [5, 5, 20, 20]
        found = [(await session.step(number, images[number])).boxes[0][0] for number in (1, 2)]
        assert found == [6, 7]
        with pytest.raises(StateError, match="no video"):
            await anext(session.propagate())

    run(track)


def test_a_propagation_waits_for_its_consumer_and_for_nobody_else() -> None:
    async def track(service: Service) -> None:
        session = await service.sessions.create(await service.open_frames(FRAMES))
        await session.prompt(0, {1: click(10, 10)})
        image = await service.read_image(encode_png())
        encoded = service.thread.model.backend  # type: ignore[union-attr]
        async with aclosing(session.propagate()) as frames:
            assert (await anext(frames)).index == 0
            await asyncio.sleep(0.05)
            before = encoded.encoded
            assert len(await service.predict(image, click(15, 10))) == 1  # while the consumer does not read
            assert encoded.encoded == before + 1, "at most one frame is computed in advance"
            with pytest.raises(StateError, match="tracked already"):
                await anext(session.propagate())
            assert (await session.prompt(5, {2: click(12, 10)})).object_ids == (1, 2)
            assert session.cancel()
            assert [frame.index async for frame in frames] in ([], [1])
        assert not session.cancel()
        async with aclosing(session.propagate(start=2, stop=4, direction="backward")) as frames:
            assert [frame.index async for frame in frames] == [3, 2]
        for wrong in ({"start": 6}, {"start": 3, "stop": 3}, {"direction": "up"}):
            with pytest.raises(SettingsError):
                await anext(session.propagate(**wrong))  # type: ignore[arg-type]
        service.sessions.delete(session.id)
        with pytest.raises(StateError, match="ended"):
            await anext(session.propagate())

    run(track)


def test_a_video_is_tracked_without_a_session() -> None:
    async def track(service: Service) -> None:
        video = await service.open_frames(FRAMES)
        async with aclosing(service.track(video, {0: {3: click(10, 10)}}, stop=2)) as frames:
            assert [(one.index, one.masks.object_ids) async for one in frames] == [(0, (3,)), (1, (3,))]
        with pytest.raises(MaskletError, match="lies outside"):
            await anext(service.track(video, {0: {3: click(1000, 10)}}))
        assert service._tracks == 0 and service.thread.request_count == 0
        video.close()

    run(track)


def test_automatic_masks_let_clicks_pass() -> None:
    order: list[str] = []

    async def generate(service: Service) -> None:
        image = await service.read_image(encode_png())
        await service.embed(image)
        options = MaskGeneratorOptions(points_per_side=16, points_per_batch=4)
        long = asyncio.create_task(service.generate(image, options))
        long.add_done_callback(lambda task: order.append("generate"))
        await asyncio.sleep(0)
        for _ in range(3):
            await service.predict(image, click(15, 10))
            order.append("click")
        assert len(await long) == 2

    run(generate)
    assert order == ["click"] * 3 + ["generate"]


def test_embeddings_and_images_stay_within_their_budgets() -> None:
    class CountingBackend(GrayWorld):
        """Its features have as many bytes as those of its configuration."""

    backend = CountingBackend()

    async def fill_up(service: Service) -> None:
        files = []
        for number in range(6):
            image = IMAGE.copy()
            image[0, 0] = number + 1
            files.append(encode_png(image))
        found = [await service.read_image(content) for content in files]
        for image in found:
            await service.embed(image)
        assert service.embeddings is not None and len(service.embeddings) == 3
        assert service.embeddings.byte_count <= service.limits.feature_bytes
        assert len(service.images) == 2 and service.images.byte_count <= service.limits.image_bytes
        assert service.find_image(found[5].key) is found[5]
        with pytest.raises(MaskletError, match="no longer has it"):
            service.find_image(found[0].key)
        assert (await service.read_image(files[5])) is found[5]
        encoded = backend.encoded
        assert len(await service.predict(found[0], click(15, 10))) == 1  # it is encoded again
        assert backend.encoded == encoded + 1 and service.embedding_misses == 1

    from masklet.backend import count_feature_bytes

    size = count_feature_bytes(backend)
    run(fill_up, Limits(feature_bytes=3 * size + size // 2, image_bytes=2 * IMAGE.nbytes), backend)


def test_limits_are_positive() -> None:
    with pytest.raises(SettingsError, match="objects must be above 0"):
        Limits(objects=0)


def test_images_are_decoded_within_the_limit() -> None:
    store = ImageStore(1, 10)
    with pytest.raises(MaskletError) as raised:
        store.decode(encode_png())
    assert raised.value.code == "too-many-pixels"
    for text in ("?", "data:image/png,abc", "data:image/png;base64,?"):
        with pytest.raises(MaskletError) as raised:
            store.decode(text)
        assert raised.value.code == "bad-image"


class _Handler(http.server.BaseHTTPRequestHandler):
    received: list[str | None] = []  # noqa: RUF012 - filled by the test

    def do_GET(self) -> None:
        self.received.append(self.headers["Authorization"])
        if self.path.startswith("/data/away"):
            self.send_response(302)
            self.send_header("Location", self.path.partition("=")[2])
        else:
            self.send_response(200 if self.path == "/data/a.png" else 404)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"image")

    def log_message(self, *arguments: Any) -> None: ...


@pytest.fixture
def site() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    _Handler.received.clear()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_only_allowed_addresses_are_downloaded(site: str) -> None:
    sources = Sources(addresses=(f"{site}/data/",))
    token = {"Authorization": "Token secret"}
    assert sources.fetch(f"{site}/data/a.png", 5, token) == b"image" and _Handler.received == ["Token secret"]
    assert sources.fetch(f"{site}/data/away?to={site}/data/a.png", 5) == b"image"
    for url in (
        f"{site}/other",
        f"{site}/data/../other",
        f"{site}/data/%2e%2e/other",
        f"{site}/data/away?to=http://localhost:1/data/a.png",
        f"{site.replace('http', 'https')}/data/a.png",
        f"{site.replace('//', '//user@')}/data/a.png",
        f"{site}.evil.example/data/a.png",
        f"{site}@evil.example/data/a.png",
        "file:///etc/passwd",
        "//127.0.0.1/data/a.png",
        f"{site}/data/a\r\nb",
        "",
    ):
        with pytest.raises(VideoError) as raised:
            sources.fetch(url, 5)
        assert raised.value.code == "url-refused", url
    with pytest.raises(ResourceError, match="status 302"):
        sources.fetch(f"{site}/data/away?to=file:///etc/passwd", 5)
    with pytest.raises(ResourceError, match="status 404"):
        sources.fetch(f"{site}/data/none", 5)
    with pytest.raises(ResourceError, match="more than 4 bytes"):
        sources.fetch(f"{site}/data/a.png", 4)


def test_wrong_sources_are_refused(tmp_path: Path) -> None:
    for prefix in ("ftp://a", "https://", "a.example", "https://user@a.example/"):
        with pytest.raises(SettingsError, match="an address must be"):
            Sources(addresses=(prefix,))
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(MaskletError):
            Sources(root)
    assert np.size(Sources(tmp_path).find("file")) == 1
