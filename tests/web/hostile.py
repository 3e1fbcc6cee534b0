"""What port scanners, broken clients and attackers send: name -> the bytes of one connection."""

HOST = b"Host: localhost\r\n"
CRLF = b"\r\n"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
MASK = bytes(4)  # masked with zeroes, the payload is unchanged


def get(*headers: bytes, target: bytes = b"/", version: bytes = b"1.1") -> bytes:
    return b"GET " + target + b" HTTP/" + version + CRLF + HOST + b"".join(h + CRLF for h in headers) + CRLF


def post(*headers: bytes, body: bytes = b"") -> bytes:
    return b"POST /echo HTTP/1.1\r\n" + HOST + b"".join(h + CRLF for h in headers) + CRLF + body


def upgrade(*headers: bytes) -> bytes:
    return UPGRADE + b"".join(h + CRLF for h in headers) + CRLF


REQUESTS: dict[str, bytes] = {
    "nothing": b"",
    "one byte": b"G",
    "blank lines": CRLF * 200,
    "null bytes": bytes(4096),
    "all byte values": bytes(range(256)) * 8,
    "TLS client hello": bytes.fromhex("16030100c8010000c40303") + bytes(range(190)),
    "SSH greeting": b"SSH-2.0-OpenSSH_9.6\r\n",
    "SMTP greeting": b"EHLO scanner.example\r\n",
    "FTP login": b"USER anonymous\r\nPASS x@\r\n",
    "SOCKS5 greeting": b"\x05\x01\x00",
    "JSON line": b'{"jsonrpc":"2.0","method":"x"}\n',
    "HTTP/0.9": b"GET /\r\n",
    "truncated request line": b"GET / HT",
    "truncated header name": b"GET / HTTP/1.1\r\nHos",
    "truncated header end": b"GET / HTTP/1.1\r\n" + HOST,
    "HTTP/1.0": get(version=b"1.0"),
    "HTTP/1.0 without headers": b"GET / HTTP/1.0\r\n\r\n",
    "HTTP/1.0 keep-alive": get(b"Connection: keep-alive", version=b"1.0"),
    "HTTP/2.0 in the request line": get(version=b"2.0"),
    "HTTP/9.9 in the request line": get(version=b"9.9"),
    "lower case http": b"GET / http/1.1\r\n" + HOST + CRLF,
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": get(b"Host: elsewhere"),
    "non-ASCII Host": b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
    "non-ASCII header name": get(b"X-\xc3\xa9: 1"),
    "non-ASCII header value": get(b"X-Name: \xff\xfe\x80"),
    "non-ASCII Connection": get(b"Connection: \xff"),
    "non-ASCII Cookie": get(b"Cookie: a=\xff; \xfe=b"),
    "non-ASCII target": get(target=b"/\xff\xfe"),
    "escaped non-UTF-8 target": get(target=b"/%ff%fe%00"),
    "escaped traversal": get(target=b"/static/..%2f..%2f..%2fetc/passwd"),
    "non-ASCII query": get(target=b"/?a=%ff%fe"),
    "absolute target": get(target=b"http://elsewhere.example/"),
    "absolute target without path": get(target=b"http://elsewhere.example"),
    "asterisk target": b"OPTIONS * HTTP/1.1\r\n" + HOST + CRLF,
    "CONNECT": b"CONNECT example.org:443 HTTP/1.1\r\n" + HOST + CRLF,
    "unknown method": b"BREW /pot HTTP/1.1\r\n" + HOST + CRLF,
    "TRACE": b"TRACE / HTTP/1.1\r\n" + HOST + CRLF,
    "HEAD": b"HEAD /big HTTP/1.1\r\n" + HOST + CRLF,
    "null in a header": get(b"X-Name: a\x00b"),
    "bare CR in a header": get(b"X-Name: a\rb"),
    "bare LF line ends": b"GET / HTTP/1.1\nHost: localhost\n\n",
    "folded header": get(b"X-Name: a\r\n b"),
    "space before colon": get(b"X-Name : a"),
    "header without colon": get(b"nonsense"),
    "huge header": get(b"X-Name: " + b"a" * 200_000),
    "huge target": get(target=b"/" + b"a" * 200_000),
    "endless request line": b"G" * 200_000,
    "ten thousand headers": get(*(b"X-%d: 1" % n for n in range(10_000))),
    "Range beyond the end": get(b"Range: bytes=99999999-", target=b"/big"),
    "Range nonsense": get(b"Range: bytes=-,,-", target=b"/big"),
    "reset in the middle of a big answer": get(target=b"/big"),
    "negative Content-Length": post(b"Content-Length: -1"),
    "huge Content-Length": post(b"Content-Length: 99999999999999999999", body=b"a"),
    "Content-Length of 100 digits": post(b"Content-Length: " + b"9" * 100, body=b"a"),
    "Content-Length in words": post(b"Content-Length: many"),
    "two Content-Lengths": post(b"Content-Length: 1", b"Content-Length: 2", body=b"ab"),
    "body shorter than it says": post(b"Content-Length: 1000", body=b"short"),
    "body longer than it says": post(b"Content-Length: 3", body=b"longer than three"),
    "body too large": post(b"Content-Length: 500000", body=b"a" * 500_000),
    "chunked body too large": post(
        b"Transfer-Encoding: chunked", body=b"20000\r\n" + b"a" * 0x20000 + b"\r\n0\r\n\r\n"
    ),
    "chunked garbage": post(b"Transfer-Encoding: chunked", body=b"zz\r\nnonsense\r\n"),
    "chunked negative": post(b"Transfer-Encoding: chunked", body=b"-5\r\nhello\r\n0\r\n\r\n"),
    "chunk of 100 digits": post(b"Transfer-Encoding: chunked", body=b"f" * 100 + CRLF),
    "chunked and Content-Length": post(
        b"Transfer-Encoding: chunked", b"Content-Length: 3", body=b"0\r\n\r\n"
    ),
    "unknown Transfer-Encoding": post(b"Transfer-Encoding: gzip", body=b"abc"),
    "Expect and no body": post(b"Expect: 100-continue", b"Content-Length: 10"),
    "broken JSON": post(b"Content-Type: application/json", b"Content-Length: 3", body=b"{\xff}"),
    "broken multipart": post(b"Content-Type: multipart/form-data", b"Content-Length: 5", body=b"--x\r\n"),
    "pipelined": get() * 50,
    "pipelined then garbage": get() + b"\x00\xff" * 100,
    "pipelined after close": get(b"Connection: close") + get(),
    "handler raises": get(target=b"/bug"),
    "h2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "h2c upgrade": get(
        b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"
    ),
    "h2c upgrade with bad settings": get(b"Connection: Upgrade", b"Upgrade: h2c", b"HTTP2-Settings: \xff!"),
    "h2c upgrade then frames": get(b"Connection: Upgrade", b"Upgrade: h2c")
    + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    + bytes(9),
    "unknown upgrade": get(b"Connection: Upgrade", b"Upgrade: quic"),
    "WebSocket": upgrade(),
    "WebSocket and a frame in one packet": upgrade() + b"\x81\x82" + MASK + b"hi",
    "WebSocket and garbage in one packet": upgrade() + bytes(range(256)),
    "WebSocket non-ASCII protocol": upgrade(b"Sec-WebSocket-Protocol: \xff"),
    "WebSocket non-ASCII protocol twice": upgrade(
        b"Sec-WebSocket-Protocol: \xff", b"Sec-WebSocket-Protocol: a"
    ),
    "WebSocket non-ASCII extension": upgrade(b"Sec-WebSocket-Extensions: \xff"),
    "WebSocket nonsense extension": upgrade(b"Sec-WebSocket-Extensions: ;;permessage-deflate=;=,"),
    "WebSocket non-ASCII Connection": upgrade(b"Connection: \xff"),
    "WebSocket non-ASCII key": UPGRADE.replace(b"dGhl", b"\xff\xfe\xfd\xfc") + CRLF,
    "WebSocket without a key": UPGRADE.replace(b"Sec-WebSocket-Key", b"X-Key") + CRLF,
    "WebSocket version 8": UPGRADE.replace(b"Version: 13", b"Version: 8") + CRLF,
    "WebSocket over HTTP/1.0": UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0") + CRLF,
    "WebSocket with POST": UPGRADE.replace(b"GET", b"POST") + CRLF,
    "WebSocket with a body": upgrade(b"Content-Length: 5") + b"hello",
    "WebSocket to nowhere": UPGRADE.replace(b"/ws", b"/nowhere") + CRLF,
}

FRAMES: dict[str, bytes] = {
    "unmasked": b"\x81\x02hi",
    "reserved bits": b"\xf1\x82" + MASK + b"hi",
    "compressed though not agreed": b"\xc1\x82" + MASK + b"hi",
    "unknown opcode": b"\x83\x82" + MASK + b"hi",
    "text that is not UTF-8": b"\x81\x82" + MASK + b"\xff\xfe",
    "continuation of nothing": b"\x80\x82" + MASK + b"hi",
    "fragmented ping": b"\x09\x82" + MASK + b"hi",
    "ping of 200 bytes": b"\x89\xfe\x00\xc8" + MASK + bytes(200),
    "length beyond 2**63": b"\x82\xff" + b"\xff" * 8 + MASK,
    "length of 16 TiB, hardly begun": b"\x82\xff" + (1 << 44).to_bytes(8) + MASK + bytes(100),
    "message too large": b"\x82\xff" + (1 << 20).to_bytes(8) + MASK + bytes(1 << 20),
    "close with one byte": b"\x88\x81" + MASK + b"\x03",
    "close with a forbidden code": b"\x88\x82" + MASK + b"\x03\xed",
    "close with a reason that is not UTF-8": b"\x88\x84" + MASK + b"\x03\xe8\xff\xfe",
    "close twice": (b"\x88\x82" + MASK + b"\x03\xe8") * 2,
    "close, then text": b"\x88\x82" + MASK + b"\x03\xe8" + b"\x81\x82" + MASK + b"hi",
    "text of no bytes": b"\x81\x80" + MASK,
    "a thousand pings": (b"\x89\x80" + MASK) * 1000,
    "a thousand messages": (b"\x81\x82" + MASK + b"hi") * 1000,
    "half a frame": b"\x81\xfe\x00",
    "an HTTP request": get(),
}
