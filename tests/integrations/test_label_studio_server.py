"""Round trip with Label Studio itself: an interactive annotation, and a retrieved prediction, through its REST API.

Label Studio and `masklet serve` run as processes of one environment, which `scripts/test-integrations label-studio`
makes. Label Studio is given an empty folder, so that it creates its database, which takes most of the time.
"""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("label_studio")

import requests
from label_studio_sdk.converter.brush import decode_rle

import masklet

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
IMAGE = ROOT / "examples" / "fish.jpg"
SIZE, CLICK = (214, 320), (126, 100)  # H, W; x, y
USER, PASSWORD, TOKEN = "annotator@example.org", "a-password-of-the-test", "token-of-the-test-0123456789"
LABELS = '<Label value="fish"/><Label value="rock"/>'
CONFIG = f"""
<View>
  <Image name="image" value="$image"/>
  <BrushLabels name="tag" toName="image">{LABELS}</BrushLabels>
  <KeyPointLabels name="tag2" toName="image" smart="true">{LABELS}</KeyPointLabels>
  <RectangleLabels name="tag3" toName="image" smart="true">{LABELS}</RectangleLabels>
</View>
"""
START_TIMEOUT_S = 600.0  # for migrations on a machine that does much else


@pytest.fixture(scope="module")
def label_studio(tmp_path_factory):
    """A running Label Studio: its address, and a personal access token of its only user."""
    folder, port = tmp_path_factory.mktemp("label-studio"), find_port()
    environment = {
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder),
        "LABEL_STUDIO_USERNAME": USER,
        "LABEL_STUDIO_PASSWORD": PASSWORD,
        "ML_BLOCK_LOCAL_IP": "false",
        "SSRF_PROTECTION_ENABLED": "false",
        "LATEST_VERSION_CHECK": "false",
        "COLLECT_ANALYTICS": "false",
    }
    command = [str(Path(sys.executable).with_name("label-studio")), "start", "--no-browser", "--init"]
    with run([*command, "--port", str(port)], folder / "log.txt", environment):
        address = f"http://localhost:{port}"
        wait_for(f"{address}/health", folder / "log.txt")
        yield address, create_token(address)


@pytest.fixture(scope="module")
def backend(label_studio, tmp_path_factory):
    """The address of `masklet serve`."""
    address, token = label_studio
    log, port = tmp_path_factory.mktemp("masklet") / "log.txt", find_port()
    environment = {"LABEL_STUDIO_URL": address, "LABEL_STUDIO_API_KEY": token, "MASKLET_TOKEN": TOKEN}
    command = [sys.executable, "-m", "masklet", "serve", "--protocol", "label-studio", "--allow-url", f"{address}/"]
    with run([*command, "--port", str(port)], log, environment):
        wait_for(f"http://localhost:{port}/health/ready", log)
        yield f"http://localhost:{port}/label-studio"


@pytest.fixture(scope="module")
def project(label_studio, backend):
    """A session of the API, and the ids of a project with one image, of its task, and of the backend."""
    address, token = label_studio
    api = Api(address, token)
    project = api.post("/api/projects", json={"title": "fish", "label_config": CONFIG})["id"]
    with IMAGE.open("rb") as file:
        api.post(f"/api/projects/{project}/import", files={"file": (IMAGE.name, file, "image/jpeg")})
    (task,) = api.get(f"/api/tasks?project={project}")["tasks"]
    access = {"auth_method": "BASIC_AUTH", "basic_auth_user": "masklet", "basic_auth_pass": TOKEN}
    options = {"title": "masklet", "is_interactive": True, "extra_params": {"points_per_side": 4}}
    model = {"url": backend, "project": project, **access, **options}
    connected = api.post("/api/ml", json=model)
    assert connected["state"] == "CO" and connected["model_version"].startswith("masklet-nano-")
    return api, project, task["id"], connected["id"]


def test_a_click_becomes_an_annotation_whose_export_has_the_mask(project):
    api, project_id, task_id, model_id = project
    x, y = CLICK
    value = {"x": x * 100 / SIZE[1], "y": y * 100 / SIZE[0], "width": 0.5, "keypointlabels": ["fish"]}
    item = {"id": "click", "type": "keypointlabels", "from_name": "tag2", "to_name": "image", "is_positive": 1,
            "original_width": SIZE[1], "original_height": SIZE[0], "image_rotation": 0, "value": value}  # fmt: skip
    body = {"task": task_id, "context": {"result": [item]}}
    response = api.post(f"/api/ml/{model_id}/interactive-annotating", json=body)
    assert "errors" not in response, response
    (region,) = response["data"]["result"]
    assert region["value"]["brushlabels"] == ["fish"]
    api.post(f"/api/tasks/{task_id}/annotations/", json={"result": [region]})

    expected = masklet.load(runtime="onnx").embed(IMAGE).predict(masklet.click(x, y)).binary[0]
    (exported,) = api.get(f"/api/projects/{project_id}/export?exportType=JSON")
    ((stored,),) = [one["result"] for one in exported["annotations"]]
    alpha = decode_rle(stored["value"]["rle"]).reshape(*SIZE, 4)[..., 3]
    assert np.array_equal(alpha > 0, expected) and 1000 < np.count_nonzero(alpha) < 40_000
    array = np.load(io.BytesIO(api.download(f"/api/projects/{project_id}/export?exportType=BRUSH_TO_NUMPY")))
    assert np.array_equal(array > 0, expected)


def test_retrieved_predictions_are_automatic_masks(project):
    api, project_id, task_id, _ = project
    action = f"/api/dm/actions?id=retrieve_tasks_predictions&project={project_id}"
    api.post(action, json={"selectedItems": {"all": False, "included": [task_id]}})
    (prediction,) = api.get(f"/api/predictions?task={task_id}")
    assert prediction["model_version"].startswith("masklet-nano-") and 0 < prediction["score"] <= 1
    regions = prediction["result"]
    assert regions and {one["type"] for one in regions} == {"brushlabels"}
    assert all(decode_rle(one["value"]["rle"]).any() for one in regions)


class Api:
    """Label Studio's REST API with a personal access token, which is exchanged before every request."""

    def __init__(self, address, token):
        self._address, self._token = address, token

    def get(self, path):
        return json.loads(self.download(path))

    def post(self, path, **body):
        return self._send("post", path, **body).json()

    def download(self, path):
        return self._send("get", path).content

    def _send(self, method, path, **body):
        access = requests.post(f"{self._address}/api/token/refresh/", json={"refresh": self._token}, timeout=60)
        headers = {"Authorization": f"Bearer {access.json()['access']}"}
        response = requests.request(method, f"{self._address}{path}", headers=headers, timeout=120, **body)
        assert response.ok, f"{path}: {response.status_code} {response.text[:1000]}"
        return response


@contextmanager
def run(command, log, environment):
    """Run a process for the time of a block. Its output is written to a file."""
    path = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
    variables = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=variables, cwd=log.parent)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(url, log):
    """Wait until a request of an address succeeds."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            if requests.get(url, timeout=5).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.5)
    pytest.fail(f"{url} does not respond: {log.read_text(errors='replace')[-2000:]}")


def create_token(address):
    """Log in as the browser does, and create a personal access token."""
    session = requests.Session()
    login = f"{address}/user/login/"
    session.get(login, timeout=60)
    form = {"email": USER, "password": PASSWORD, "csrfmiddlewaretoken": session.cookies["csrftoken"]}
    session.post(login, data=form, headers={"Referer": login}, timeout=60)
    headers = {"X-CSRFToken": session.cookies["csrftoken"], "Referer": login}
    response = session.post(f"{address}/api/token/", headers=headers, timeout=60)
    assert response.ok, response.text
    return response.json()["token"]


def find_port():
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
