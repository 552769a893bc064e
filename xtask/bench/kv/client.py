"""A script for Workers KV as people write it: follows the cursors and writes, or deletes, as it
goes, so that its memory stays small. It is a peer in the benchmark.

Usage: python client.py list|export|delete NAMESPACE > LINES
with CLOUDFLARE_API_BASE_URL, CLOUDFLARE_ACCOUNT_ID and CLOUDFLARE_API_TOKEN.
"""

import asyncio
import json
import os
import sys

import aiohttp

TASK, NAMESPACE = sys.argv[1:]
API, ACCOUNT = os.environ["CLOUDFLARE_API_BASE_URL"], os.environ["CLOUDFLARE_ACCOUNT_ID"]
BASE = f"{API}/accounts/{ACCOUNT}/storage/kv/namespaces/{NAMESPACE}"
HEADERS = {"authorization": f"Bearer {os.environ['CLOUDFLARE_API_TOKEN']}"}


async def call(session, method, path, **options):
    async with session.request(method, BASE + path, **options) as response:
        answer = json.loads(await response.read())
        if not answer["success"]:
            sys.exit(f"{path}: {response.status} {answer['errors']}")
        return answer


async def pages(session):
    query = {"limit": "1000"}
    while True:
        page = await call(session, "GET", "/keys", params=query)
        yield page["result"]
        query["cursor"] = page["result_info"].get("cursor")
        if not query["cursor"]:
            return


def write(objects):
    lines = "".join(json.dumps(one, separators=(",", ":")) + "\n" for one in objects)
    sys.stdout.buffer.write(lines.encode())


async def list_all(session):
    async for keys in pages(session):
        write(keys)


async def read(session, names):
    body = {"keys": names, "withMetadata": True}
    answer = await call(session, "POST", "/bulk/get", json=body)
    values = answer["result"]["values"]
    return [{"key": name, **values[name]} for name in names]


async def export_all(session):
    """The ten bulk reads of a page are on the wire at once."""
    async for keys in pages(session):
        names = [key["name"] for key in keys]
        reads = [read(session, names[at : at + 100]) for at in range(0, len(names), 100)]
        for objects in await asyncio.gather(*reads):
            write(objects)


async def delete_all(session):
    names = []
    async for keys in pages(session):
        names += [key["name"] for key in keys]
        if len(names) >= 10_000:
            await call(session, "POST", "/bulk/delete", json=names)
            names = []
    if names:
        await call(session, "POST", "/bulk/delete", json=names)


async def main():
    tasks = {"list": list_all, "export": export_all, "delete": delete_all}
    async with aiohttp.ClientSession(headers=HEADERS) as session:
        await tasks[TASK](session)


asyncio.run(main())
