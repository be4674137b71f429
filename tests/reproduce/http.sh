# HTTP clients: a server that misbehaves as the path says, and curl, Python's requests and Node.js
# that ask it.
# shellcheck shell=bash disable=SC2154
install curl python3 python3-requests

cat >"$work"/server.py <<'PY'
import http.server, socket, struct, sys, time

class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        path = self.path.strip("/").split("?")[0]
        if path.isdigit():
            self.send_response(int(path))
            self.send_header("Content-Length", "2")
            if path.startswith("3"):
                self.send_header("Location", self.path)
            self.end_headers()
            self.wfile.write(b"no")
        elif path == "slow":
            time.sleep(3)
        elif path == "close":
            pass
        elif path == "reset":
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.request.close()
        elif path == "half":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\nok\n")
        elif path == "chunk":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n500\r\nok\n")
        elif path == "html":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 14\r\n\r\n<html>no</html")
        elif path == "gzip":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope")
        elif path == "noise":
            self.wfile.write(b"220 mail.example ESMTP\r\n\r\n")
        elif path == "header":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 300 + b"\r\n")
        self.close_connection = True
    do_POST = do_GET
    def do_CONNECT(self):
        self.send_error(403)
    def log_message(self, *args):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Server).serve_forever()
PY
python=/usr/bin/python3
port=$(free_port)
url=http://127.0.0.1:$port
"$python" "$work"/server.py "$port" 2>/dev/null &
at_end "kill $!"
wait_for curl -s "$url/200"
cat >"$work"/ask.py <<'PY'
import sys, traceback, urllib.request, requests
for ask in (lambda: requests.get(sys.argv[1], timeout=10).raise_for_status(),
            lambda: requests.get(sys.argv[1], timeout=10).json(),
            lambda: urllib.request.urlopen(sys.argv[1], timeout=10).read()):
    try:
        ask()
    except Exception:
        traceback.print_exc()
PY
# Asks in every language, and reads the answer.
ask() {
  curl -sSf -m 10 -L --compressed -o /dev/null "$1"
  "$python" "$work"/ask.py "$1"
  if command -v node >/dev/null; then
    node -e 'fetch(process.argv[1]).then(r => r.json()).catch(e => console.error(e))' "$1"
    node -e 'require("http").get(process.argv[1], r => r.on("error", e => console.error(e)).resume()).on("error", e => console.error(e))' "$1"
  fi
}

provoke http-answer-cut-off ask "$url/half"
provoke http-answer-cut-off ask "$url/chunk"
provoke http-redirect-loop ask "$url/302"
provoke http-not-json ask "$url/html"
provoke http-answer-invalid ask "$url/noise"
provoke http-answer-invalid ask "$url/gzip"
provoke http-login-refused ask "$url/401"
provoke http-login-refused ask "$url/403"
provoke http-not-found ask "$url/404"
provoke http-not-found ask "$url/410"
provoke http-request-refused ask "$url/400"
provoke http-request-refused ask "$url/422"
provoke http-request-refused ask "$url/415"
provoke http-too-large ask "$url/413"
provoke http-too-large ask "$url/431"
provoke http-address-malformed ask 'shop.example/cart'
provoke http-address-malformed ask 'htps://shop.example/'
provoke http-address-malformed ask 'http:///cart'
provoke rate-limited ask "$url/429"
provoke upstream-errors ask "$url/503"
provoke read-timeout curl -sS -m 1 "$url/slow"
provoke read-timeout "$python" -c 'import sys, requests; requests.get(sys.argv[1], timeout=1)' "$url/slow"
