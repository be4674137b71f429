"""What the small services of the lab share: answering HTTP, logging as real programs do."""
import http.server
import json
import logging
import os
import signal
import sys
import threading
import urllib.parse

logging.basicConfig(
    stream=sys.stderr,
    level=logging.INFO,
    format="%(asctime)s %(levelname)s %(name)s: %(message)s",
)


def leave(*_):
    logging.getLogger("main").info("shutting down")
    os._exit(0)


def load_config():
    """The JSON file that CONFIG names; a program that cannot read it does not start."""
    path = os.environ.get("CONFIG")
    if not path:
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        logging.getLogger("config").critical("cannot load configuration %s: %s", path, error)
        sys.exit(1)


def serve(routes, port):
    """Answers each (method, path) of `routes` with what its function returns: status, body."""
    log = logging.getLogger("http")

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            url = urllib.parse.urlsplit(self.path)
            query = dict(urllib.parse.parse_qsl(url.query))
            handle = routes.get((self.command, url.path))
            try:
                status, body = handle(query) if handle else (404, {"error": "no such page"})
            except Exception as error:  # as frameworks do: the request fails, the program goes on
                log.exception("Unhandled exception in %s %s", self.command, url.path)
                status, body = 500, {"error": f"{type(error).__name__}: {error}"}
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = answer

        def log_message(self, format, *args):
            if args[1] >= "400" or self.path != "/health":
                log.info('"%s" %s', args[0], args[1])

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request, client_address):
            # Servers that are used in earnest make no trace of a client that was stopped.
            if isinstance(sys.exc_info()[1], ConnectionError):
                log.info("client %s is gone", client_address[0])
            else:
                super().handle_error(request, client_address)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    server = Server(("0.0.0.0", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    log.info("listening on port %d", port)
    while True:
        signal.pause()
