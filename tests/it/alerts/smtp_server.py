"""A real mail server on loopback (aiosmtpd). What it does with a letter, the recipient says:

refused@  is refused for good          grey@  is put off at the first try
hang@     is never answered            drop@  has its connection cut at the first try

The port is the first line of the output; each line after it is a JSON object: {"tried": ADDRESS}
or an accepted letter, read by Python's own parser.
"""
import asyncio
import json
import ssl
import sys
from email import message_from_bytes, policy

from aiosmtpd.smtp import SMTP, AuthResult


def tell(what):
    print(json.dumps(what), flush=True)


class Handler:
    def __init__(self):
        self.seen = set()

    async def handle_RCPT(self, server, session, envelope, address, options):
        first = address not in self.seen
        self.seen.add(address)
        tell({"tried": address})
        name = address.split("@")[0]
        if name == "refused":
            return "550 5.1.1 nobody of that name lives here"
        if name == "grey" and first:
            return "451 4.7.1 greylisted, come again"
        if name == "hang":
            await asyncio.sleep(3600)
        if name == "drop" and first:
            server.transport.abort()
            return "421 gone"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        letter = message_from_bytes(envelope.content, policy=policy.default)
        text, html = letter.get_body(("plain",)), letter.get_body(("html",))
        tell({
            "for": envelope.rcpt_tos,
            "from": envelope.mail_from,
            "encrypted": server.transport.get_extra_info("sslcontext") is not None,
            "user": (session.auth_data.login.decode() if session.auth_data else None),
            "headers": {name: str(value) for name, value in letter.items()},
            "text": text.get_content(),
            "html": html.get_content(),
            "defects": [str(d) for part in letter.walk() for d in part.defects],
        })
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    good = (data.login, data.password) == (b"selfheal", b"c4n4ry")
    # `handled` would mean that the answer was sent already.
    return AuthResult(success=good, handled=False, auth_data=data if good else None)


async def main(mode, certificate, key, login):
    context = None
    if mode != "none":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
    handler = Handler()

    def smtp():
        return SMTP(
            handler,
            hostname="localhost",
            tls_context=context if mode == "starttls" else None,
            require_starttls=mode == "starttls",
            auth_required=login == "login",
            auth_require_tls=mode == "starttls",
            authenticator=authenticate,
        )

    at_once = context if mode == "tls" else None
    server = await asyncio.get_running_loop().create_server(smtp, "127.0.0.1", 0, ssl=at_once)
    tell(server.sockets[0].getsockname()[1])
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
