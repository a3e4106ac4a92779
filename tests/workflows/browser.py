"""A Chromium without windows, if there is one, that plays a video and tells of it."""

import contextlib
import http.server
import json
import pathlib
import queue
import shutil
import subprocess
import threading
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")

# Each shown frame is read back as the page sees it, in the video's own size.
_PAGE = """<!doctype html><video src="video.mp4" muted></video><script>
const video = document.querySelector("video");
const canvas = document.createElement("canvas");
const shown = [];
const tell = (more) => fetch("told", {method: "POST", body: JSON.stringify({
  ...more, width: video.videoWidth, height: video.videoHeight,
  seconds: video.duration, shown})});
const look = (now, frame) => {
  canvas.width = video.videoWidth, canvas.height = video.videoHeight;
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0);
  const {data} = context.getImageData(0, 0, canvas.width, canvas.height);
  const sum = [0, 0, 0];
  for (let i = 0; i < data.length; i++) if (i % 4 < 3) sum[i % 4] += data[i];
  shown.push({at: frame.mediaTime, mean: sum.map((s) => s / (data.length / 4))});
  video.requestVideoFrameCallback(look);
};
video.requestVideoFrameCallback(look);
video.onended = () => tell({ended: true});
video.onerror = () => tell({error: video.error.message});
video.play().catch((error) => tell({error: String(error)}));
</script>"""


def find_browser() -> str | None:
    """Finds a Chromium; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def played(browser: str, video: pathlib.Path, folder: pathlib.Path) -> dict[str, Any]:
    """Plays a video from its first frame to its end.

    Args:
      browser: The program.
      video: The file, which comes over HTTP as a site would send it.
      folder: An empty folder for what the browser keeps.

    Returns:
      "ended" or "error"; "width", "height", "seconds"; "shown", with the time and the
      mean colour of each frame that was put on the screen.

    Raises:
      queue.Empty: If it neither ends nor fails within 60 s.
    """
    told: queue.Queue[dict[str, Any]] = queue.Queue()

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_video = self.path == "/video.mp4"
            content = video.read_bytes() if is_video else _PAGE.encode()
            self.send_response(200)
            self.send_header("Content-Type", "video/mp4" if is_video else "text/html")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            # The browser may hang up once it has what it wants.
            with contextlib.suppress(ConnectionError):
                self.wfile.write(content)

        def do_POST(self) -> None:
            told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        command = [
            browser,
            "--headless",
            # In containers there is neither a sandbox nor shared memory to speak of.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--autoplay-policy=no-user-gesture-required",
            f"--user-data-dir={folder}",
            # An open port keeps it from ending once the page is loaded.
            "--remote-debugging-port=0",
            f"http://127.0.0.1:{site.server_port}/",
        ]
        program = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            return told.get(timeout=60)
        finally:
            program.terminate()
            program.wait()
            site.shutdown()
