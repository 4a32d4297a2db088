"""What a comparison runs: the bank and the load of isoload, HAProxy, the gateway; and what it reads of them."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TICK = os.sysconf('SC_CLK_TCK')
WARMUP = 0.7
# A sync that takes so long: put before the C library's by LD_PRELOAD. The journal is in memory then where that can be had,
# so that the delay is all that a sync costs.
MEMORY = pathlib.Path('/dev/shm')
SLOW_SYNC = r'''
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
static void wait(void) {
    const char *text = getenv("SLOW_SYNC_US");
    long us = text ? atol(text) : 0;
    struct timespec time = { us / 1000000, us % 1000000 * 1000 };
    prctl(PR_SET_TIMERSLACK, 1);
    nanosleep(&time, 0);
}
#define SLOW(name) int name(int fd) { \
    static int (*real)(int); \
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, #name); \
    wait(); \
    return real(fd); }
SLOW(fsync)
SLOW(fdatasync)
'''


class Failed(Exception):
    """A run that did not go as it must: an error, a wrong reply, a process that ended."""


class Skipped(Exception):
    """What cannot be measured here, and why."""


class Process:
    """A program in the background, that listens on a port."""

    def __init__(self, command, port, folder, env=None, patience=20):
        self.name, self.port = pathlib.Path(command[0]).name, port
        self.errors = tempfile.TemporaryFile(dir=folder)
        self.child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=self.errors, cwd=folder,
                                      env={**os.environ, **(env or {})})
        limit = time.monotonic() + patience
        while time.monotonic() < limit:
            if self.child.poll() is not None:
                raise Failed('%s ended early: %s' % (self.name, self.said()))
            with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', port), 0.2):
                return
            time.sleep(0.02)
        self.stop()
        raise Failed('%s does not listen on %d' % (self.name, port))

    @property
    def pid(self):
        return self.child.pid

    def said(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors='replace').strip()[-300:]

    def cpu(self):
        """Seconds of processor time so far, of all its threads."""
        fields = pathlib.Path('/proc/%d/stat' % self.pid).read_text().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def rss(self):
        """Resident memory in bytes."""
        text = pathlib.Path('/proc/%d/status' % self.pid).read_text()
        return int(re.search(r'VmRSS:\s+(\d+) kB', text).group(1)) * 1024

    def stop(self, patience=5):
        self.child.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.child.wait(patience)
        self.child.kill()
        self.child.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Rig:
    """Makes processes, and loads them."""

    def __init__(self, options):
        self.options, self.load_tool = options, find_isoload(options.isoload)
        self.foreign = []
        # On the disk of the checkout: what is in memory says nothing of syncs.
        (ROOT / 'target').mkdir(exist_ok=True)
        self.folder = tempfile.mkdtemp(prefix='compare-', dir=ROOT / 'target')
        self.memory = None
        self.perf = perf_counts()

    def close(self):
        for folder in filter(None, [self.folder, self.memory]):
            shutil.rmtree(folder, ignore_errors=True)

    # -- processes ----------------------------------------------------------------------------------------------------

    def bank(self):
        port = free_port()
        return Process([self.load_tool, 'bank', '--port', str(port), '--frame', 'ascii4'], port, self.folder)

    def haproxy(self, bank, threads, before=()):
        if not shutil.which('haproxy'):
            raise Skipped('haproxy is not installed')
        port = free_port()
        config = pathlib.Path(self.folder) / ('haproxy-%d.cfg' % port)
        config.write_text('\n'.join([
            'global', '  nbthread %d' % threads, '  maxconn 9950',
            'defaults', '  mode tcp', '  timeout connect 5s', '  timeout client 60s', '  timeout server 60s',
            'listen gate', '  bind 127.0.0.1:%d' % port, '  server bank 127.0.0.1:%d' % bank.port, '']))
        return Process([*before, 'haproxy', '-db', '-f', str(config)], port, self.folder, patience=patience(before))

    def gateway(self, bank, *flags, framing='ascii4', journal=None, sync_us=0, http=False, before=()):
        """The gateway as the table wants it: metrics on, log at warn, no journal unless `journal` names a durability."""
        port, admin = free_port(), free_port()
        env = {}
        command = [*before, self.options.bin, '--upstreamHost=127.0.0.1', '--upstreamPort=%d' % bank.port,
                   '--listenHost=127.0.0.1', '--adminPort=%d' % admin, '--maxQueue=20000', *flags]
        command += ['--listenHttpPort=%d' % port] if http else ['--listenPort=%d' % port, '--clientFraming=' + framing]
        if journal:
            file = pathlib.Path(self.in_memory() if sync_us else self.folder) / ('%d.journal' % port)
            command += ['--journalFile=%s' % file, '--durability=' + journal]
        else:
            command += ['--journalFile=none']
        if sync_us:
            env = {'LD_PRELOAD': self.slow_sync(), 'SLOW_SYNC_US': str(sync_us)}
        return Process(command, port, self.folder, env, patience=patience(before))

    def in_memory(self):
        """A folder whose syncs cost nothing, if there is one."""
        if not self.memory and os.access(MEMORY, os.W_OK):
            self.memory = tempfile.mkdtemp(prefix='compare-', dir=MEMORY)
        return self.memory or self.folder

    def slow_sync(self):
        library = pathlib.Path(self.folder) / 'slow_sync.so'
        if not library.exists():
            if not shutil.which('cc'):
                raise Skipped('there is no C compiler to make slow syncs with')
            subprocess.run(['cc', '-O2', '-shared', '-fPIC', '-x', 'c', '-', '-o', str(library), '-ldl'],
                           input=SLOW_SYNC.encode(), check=True)
        return str(library)

    # -- load ---------------------------------------------------------------------------------------------------------

    def clients(self, port, conns, *flags, framing='ascii4', seconds=None, warmup=WARMUP):
        """Starts a load of 0200; `finish` waits for it."""
        command = [self.load_tool, 'clients', '--target', '127.0.0.1:%d' % port, '--conns', str(conns), '--mti', '0200',
                   '--warmup', str(warmup), '--duration', str(seconds or self.options.seconds), *flags]
        if '--http' not in flags:
            command += ['--frame', framing]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self, clients, idle=False):
        text, complaint = clients.communicate()
        if clients.returncode != 0 and not idle:
            raise Failed('a load of %s: %s' % (clients.args[3], wrong(text) or complaint.strip()[-300:]))
        return json.loads(text.strip().splitlines()[-1])

    def load(self, target, conns, *flags, **named):
        """One run to its end: what isoload says, with the CPU microseconds that the target spent on a transaction."""
        busy, ours, begun = machine_busy(), target.cpu(), time.monotonic()
        if conns > 5000:
            # A round trip of each alone may take a second.
            named['seconds'] = max(3, named.get('seconds') or self.options.seconds)
        try:
            result = self.finish(self.clients(target.port, conns, *flags, **named))
        except Failed as why:
            raise Failed('%s: %s' % (target.name, why)) from why
        spent = target.cpu() - ours
        result['cpu_us'] = spent * 1e6 / max(1, result['sent'])
        whole = (time.monotonic() - begun) * os.cpu_count()
        # The bank costs about what the clients cost; it is no stranger.
        self.foreign.append(max(0.0, (machine_busy() - busy - spent - 2 * result['cpu_s']) / whole))
        return result

    def instructions(self, target, conns, *flags, **named):
        """Instructions, user and kernel, that the target spends on a transaction; by perf."""
        if not self.perf:
            raise Skipped('perf does not count instructions on this machine')
        seconds = self.options.seconds
        clients = self.clients(target.port, conns, *flags, seconds=seconds + 0.6, **named)
        time.sleep(WARMUP + 0.3)
        perf = subprocess.run(
            ['perf', 'stat', '-x,', '-e', 'instructions:u,instructions:k', '-p', str(target.pid), 'sleep', str(seconds)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        result = self.finish(clients)
        counts = [int(line.split(',')[0]) for line in perf.stderr.splitlines() if 'instructions' in line]
        return sum(counts) / (result['tps'] * seconds)


def wrong(text):
    """What isoload counts as wrong, of all that it says."""
    counts = json.loads(text.strip().splitlines()[-1]) if text.strip() else {}
    kinds = ('errors', 'mismatches', 'connect_errors', 'early_close', 'timeouts', 'unsolicited', 'http_errors', 'first_bad')
    told = ['%s %s' % (kind, counts[kind]) for kind in kinds if counts.get(kind)]
    return ', '.join(told) or ('no transaction was completed' if counts.get('tx') == 0 else '')


def callgrind(rig, start, conns, *flags, **named):
    """User instructions that a process spends on a transaction, by callgrind: the difference between a long load and a
    short one. `start` starts it behind the command that it is given."""
    if not shutil.which('valgrind'):
        raise Skipped('valgrind is not installed')
    totals = []
    # Under callgrind everything takes some 50 times as long.
    for seconds in (4, 12):
        out = pathlib.Path(rig.folder) / ('callgrind-%d' % seconds)
        with start(['valgrind', '--tool=callgrind', '--callgrind-out-file=%s' % out]) as process:
            result = rig.finish(rig.clients(process.port, conns, *flags, seconds=seconds, warmup=0, **named))
            process.stop(patience=60)
        totals.append((int(re.search(r'^(?:totals|summary): (\d+)', out.read_text(), re.M).group(1)), result['sent']))
    (few, short), (many, long) = totals
    return (many - few) / (long - short)


def patience(before):
    """How long a process may take to listen, alone or under callgrind."""
    return 90 if before else 20


def perf_counts():
    if not shutil.which('perf'):
        return False
    tried = subprocess.run(['perf', 'stat', '-x,', '-e', 'instructions:u,instructions:k', 'true'],
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    lines = [line for line in tried.stderr.splitlines() if 'instructions' in line]
    return len(lines) == 2 and all(line.split(',')[0].isdigit() for line in lines)


def machine_busy():
    """Seconds of processor time that all processes together have spent."""
    user, nice, system, _, _, irq, softirq = map(int, pathlib.Path('/proc/stat').read_text().split()[1:8])
    return (user + nice + system + irq + softirq) / TICK


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def find_isoload(given):
    """The load generator: as given, else built from the shared tools."""
    if given:
        return given
    shared = pathlib.Path(os.environ.get('SOCKETQUEUE_SHARED', ROOT.parent / 'shared')) / 'tools/isoload'
    if not shared.is_dir():
        raise Skipped('the shared tools (isoload) are not here; say --isoload or SOCKETQUEUE_SHARED')
    target = ROOT / 'target/isoload'
    subprocess.run(['cargo', 'build', '--release', '--quiet', '--locked'], cwd=shared, check=True,
                   env={**os.environ, 'CARGO_TARGET_DIR': str(target)})
    return str(target / 'release/isoload')
