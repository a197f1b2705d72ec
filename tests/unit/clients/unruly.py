"""Clients that misbehave towards the machine they run on, and a few plain ones to compare with."""

import asyncio
import ctypes
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from urllib.parse import urlsplit

NOT_CALLABLE = "a text"


def post(base_url, api_key, model, prompt="hi", *, timeout=5.0, stream=False):
    """Make one request for chat and give status and body."""
    place = urlsplit(base_url)
    held = http.client.HTTPConnection(place.hostname, place.port, timeout=timeout)
    try:
        said = [{"role": "user", "content": prompt}]
        body = json.dumps({"model": model, "messages": said, "stream": stream})
        headers = {"authorization": f"Bearer {api_key}", "content-type": "application/json"}
        held.request("POST", "/v1/chat/completions", body, headers)
        found = held.getresponse()
        return found.status, found.read()
    finally:
        held.close()


def text_of(status, body):
    """The text of an answer."""
    if status != 200:
        raise RuntimeError(f"status {status}")
    return json.loads(body)["choices"][0]["message"]["content"]


def plain(prompt, *, base_url, api_key, models, stream, deadline_s):
    """One attempt, whole."""
    return text_of(*post(base_url, api_key, models[0], prompt, timeout=deadline_s))


async def coroutine(prompt, *, base_url, api_key, models, stream, deadline_s):
    """One attempt, awaited."""
    await asyncio.sleep(0)
    return plain(
        prompt,
        base_url=base_url,
        api_key=api_key,
        models=models,
        stream=stream,
        deadline_s=deadline_s,
    )


class Callable:
    """An object that can be called."""

    async def __call__(self, prompt, *, base_url, api_key, models, stream, deadline_s):
        return {
            "text": text_of(*post(base_url, api_key, models[0], prompt)),
            "model": models[0],
            "request_ids": ["one, two", 3],
        }


an_object = Callable()


def wrong_signature(prompt, url):
    """Cannot be called as agreed."""
    return prompt + url


def by_maker(prompt, *, base_url, api_key, models, stream, deadline_s):
    """Speaks the protocol of the model's maker."""
    path = "/v1/messages" if models[0].startswith("claude") else "/v1/responses"
    request = urllib.request.Request(base_url + path, b"{}", {"x-api-key": api_key})
    return urllib.request.urlopen(request, timeout=5).read().decode()


# Those that hang ------------------------------------------------------------------------------


def sleeps(prompt, **options):
    """Never ends."""
    plain(prompt, **options)
    time.sleep(3600)


def spins(prompt, **options):
    """Never ends, and takes a whole core for it."""
    plain(prompt, **options)
    while True:
        pass


def never_gives_up(prompt, **options):
    """Sends again for ever, whatever happens, without a pause."""
    while True:
        try:
            text_of(401, post(options["base_url"], options["api_key"], options["models"][0])[1])
        except:
            pass


def holds_everything(prompt, *, models, **options):
    """Blocks every thread of its process where the first model is one called `slow`."""
    if models[0] == "slow":
        re.match(r"(a+)+$", "a" * 60 + "b")
    return plain(prompt, models=models, **options)


async def blocks_its_loop(prompt, *, models, **options):
    """A coroutine that sleeps without awaiting where the first model is one called `slow`."""
    if models[0] == "slow":
        time.sleep(3600)
    return await coroutine(prompt, models=models, **options)


async def ignores_cancel(prompt, **options):
    """Goes on when it is cancelled."""
    while True:
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            pass


async def lets_itself_be_cancelled(prompt, **options):
    """Waits for long, and stops at once when it is cancelled."""
    await asyncio.sleep(3600)


# Those that end their process -------------------------------------------------------------------


def _only_on(model):
    def choose(act):
        def ask(prompt, *, base_url, api_key, models, stream, deadline_s):
            if models[0] == model:
                act()
            return text_of(*post(base_url, api_key, models[0], prompt, timeout=deadline_s))

        return ask

    return choose


leaves = _only_on("bad")(lambda: os._exit(3))
crashes = _only_on("bad")(lambda: ctypes.string_at(0))
kills_itself = _only_on("bad")(lambda: os.kill(os.getpid(), signal.SIGKILL))
raises_signal = _only_on("bad")(lambda: signal.raise_signal(signal.SIGTERM))
exits = _only_on("bad")(lambda: sys.exit(4))


def leaves_in_a_thread():
    """End the process from a thread of its own."""
    thread = threading.Thread(target=lambda: os._exit(5))
    thread.start()
    thread.join()


leaves_elsewhere = _only_on("bad")(leaves_in_a_thread)


def leaves_afterwards(prompt, **options):
    """Ends its process a moment after it has answered."""
    found = plain(prompt, **options)
    threading.Timer(0.05, lambda: os._exit(6)).start()
    return found


def always_leaves(prompt, **options):
    """Ends its process in every call."""
    os._exit(1)


def kills_its_parent(prompt, *, models, **options):
    """Ends the process that has loaded it, where the first model is a bad one."""
    if models[0] == "bad":
        os.kill(os.getppid(), signal.SIGKILL)
    return plain(prompt, models=models, **options)


# Those that write, fork, and go elsewhere --------------------------------------------------------


def prints(prompt, **options):
    """Writes text and binary to standard output, through Python and past it."""
    print("debug", prompt)
    sys.stdout.buffer.write(b"\x00\xff\xfe" * 1000)
    os.write(1, b"\x00\x01\x02" * 100)
    sys.stderr.write("a warning\n")
    return plain(prompt, **options)


def floods(prompt, **options):
    """Writes more than any pipe holds, through a child too."""
    os.write(1, b"\xff" * (4 << 20))
    subprocess.run([sys.executable, "-c", "print('x' * (4 << 20))"], check=True)
    return plain(prompt, **options)


def forks(prompt, **options):
    """Forks; the child returns from the call as if nothing had happened."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return plain(prompt, **options)
    return "I am the child."


def leaves_a_child(prompt, **options):
    """Starts a process that stays, in a session of its own."""
    subprocess.Popen(["sleep", "3571"], start_new_session=True)
    return plain(prompt, **options)


def many_connections(prompt, *, base_url, **options):
    """Opens a thousand connections and keeps them."""
    place = urlsplit(base_url)
    held = []
    for _ in range(1000):
        one = socket.socket()
        held.append(one)
        try:
            one.connect((place.hostname, place.port))
        except OSError:
            continue
    try:
        return plain(prompt, base_url=base_url, **options)
    finally:
        for one in held:
            one.close()


def own_address(prompt, *, api_key, models, **options):
    """Brings an address of its own."""
    return text_of(*post("http://gateway.example:8080", api_key, models[0]))


def own_number(prompt, *, api_key, models, **options):
    """Brings an address of its own, as a number."""
    return text_of(*post("http://192.0.2.1:8080", api_key, models[0]))


def says_nothing(prompt, **options):
    """Gives an answer without asking anybody."""
    return "I knew it."


def key_of_the_environment(prompt, *, base_url, models, **options):
    """Takes the key that lies around."""
    return text_of(*post(base_url, os.environ["OPENAI_API_KEY"], models[0]))


def environment(prompt, *, base_url, api_key, models, **options):
    """Tells the environment that it has."""
    post(base_url, api_key, models[0])
    return json.dumps(dict(os.environ))


def nothing(prompt, **options):
    """Gives nothing."""
    plain(prompt, **options)


def hostile_error(prompt, **options):
    """Raises an error that cannot be written."""

    class BrokenError(Exception):
        status_code = "four hundred"

        def __str__(self):
            raise ValueError

    raise BrokenError


def key_in_error(prompt, *, api_key, **options):
    """Raises an error that holds the key."""
    raise ValueError(f"cannot use {api_key}")


def draws(prompt, *, base_url, api_key, models, **options):
    """Tells what chance gave it."""
    import random

    post(base_url, api_key, models[0], prompt)
    return f"{random.random()} {random.uniform(1, 2)} {random.randint(1, 10**9)}"


# Those that remember -----------------------------------------------------------------------------

FAILED = []


def remembers(prompt, *, base_url, api_key, models, stream, deadline_s):
    """A breaker for the whole program: after one failure it calls nobody any more."""
    if FAILED:
        raise RuntimeError("the breaker is open")
    status, body = post(base_url, api_key, models[0], prompt)
    if status != 200:
        FAILED.append(status)
    return text_of(status, body)


def alarms(prompt, **options):
    """Limits itself by a signal, which only the main thread of a process can."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 5)
    return plain(prompt, **options)


# Those that try again ---------------------------------------------------------------------------


def tries(prompt, *, base_url, api_key, models, stream, deadline_s):
    """Three attempts with each model, hardly a pause, whatever goes wrong."""
    for model in models:
        for _ in range(3):
            try:
                status, body = post(base_url, api_key, model, prompt, stream=stream)
                if status == 200:
                    return {"text": text_of(status, body), "model": model}
            except (OSError, http.client.HTTPException, ValueError):
                pass
            time.sleep(0.06)
    raise RuntimeError("no model answered")


def once_each(prompt, *, base_url, api_key, models, stream, deadline_s):
    """One attempt with each model, and little patience."""
    for model in models:
        status, body = post(base_url, api_key, model, prompt, timeout=1.4, stream=stream)
        if status == 200:
            return text_of(status, body)
    raise RuntimeError(f"status {status}")


def follows(prompt, *, base_url, api_key, models, **options):
    """Follows a redirect and takes the key along."""
    place = urlsplit(base_url)
    held = http.client.HTTPConnection(place.hostname, place.port, timeout=5)
    held.request("POST", "/v1/chat/completions", "{}", {"x-api-key": api_key})
    found = held.getresponse()
    target = urlsplit(found.getheader("location"))
    other = http.client.HTTPConnection(target.hostname, target.port, timeout=5)
    other.request("GET", target.path, headers={"x-api-key": api_key})
    raise RuntimeError(f"status {other.getresponse().status}")
