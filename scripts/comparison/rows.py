"""The rows of the goals in docs/performance.md: what each runs, and the ratios it gives."""
import statistics
import time

from .rig import Skipped, callgrind

# Connections of the largest loads: a proxy needs two descriptors for each, and 20,000 is a usual limit.
MANY = 9800
# SocketQueue 1.4.0 on Node 20, one connection a request, recorded: transactions a second, and instructions for each.
SOCKETQUEUE_RATE, SOCKETQUEUE_INSTRUCTIONS, SOCKETQUEUE_USER = 3750, 2_906_192, 2_830_738
# What a hop adds is not told apart below so many microseconds.
FLOOR_US = 10
REPORTED = None


class Value:
    """One figure of a row: samples, one for each round, and the bar that their median is held against."""

    def __init__(self, row, what, samples, bar=REPORTED, at_most=False, note='', value=None):
        self.row, self.what, self.samples, self.bar, self.at_most, self.note = row, what, samples, bar, at_most, note
        self.value = statistics.median(samples) if value is None else value

    def verdict(self):
        if self.bar is REPORTED:
            return 'reported'
        holds = self.value <= self.bar if self.at_most else self.value >= self.bar
        return 'ok' if holds else 'MISSED'

    def bar_text(self):
        return '–' if self.bar is REPORTED else '%s %g' % ('≤' if self.at_most else '≥', self.bar)


def ratio(row, what, over, under, bar=REPORTED, at_most=False, note=''):
    """The ratio of the medians; its spread is that of the ratios of single rounds."""
    samples = [a / b for a, b in zip(over, under)]
    return Value(row, what, samples, bar, at_most, note, statistics.median(over) / statistics.median(under))


def rounds(rig, subjects):
    """Runs each subject once in every round, one after the other, so that a busy machine is busy for all of them."""
    taken = {name: [] for name in subjects}
    for number in range(rig.options.rounds):
        for name, run in subjects.items():
            taken[name].append(run())
        rig.options.tell('    round %d: %s' % (number + 1, ', '.join(
            '%s %s' % (name, short(samples[-1])) for name, samples in taken.items())))
    return taken


def short(sample):
    return '%.0f/s' % sample['tps'] if isinstance(sample, dict) and sample['tps'] else '%.4g' % (
        sample if not isinstance(sample, dict) else sample['p50_us'])


def rates(samples):
    return [sample['tps'] for sample in samples]


def loads(rig, subjects, conns, *flags, **named):
    """The same load for each subject, interleaved."""
    return rounds(rig, {name: (lambda process=process: rig.load(process, conns, *flags, **named))
                        for name, process in subjects.items()})


def row_1(rig):
    """instructions per transaction, 100 connections, gateway / HAProxy one thread"""
    with rig.bank() as bank, rig.haproxy(bank, 1) as proxy, rig.gateway(bank) as gateway, \
            rig.gateway(bank, journal='power') as durable:
        subjects = {'haproxy-1t': proxy, 'gateway': gateway, 'journal': durable}
        if rig.perf:
            taken = rounds(rig, {name: (lambda process=process: rig.instructions(process, 100))
                                 for name, process in subjects.items()})
            yield ratio(1, 'instructions, gateway / HAProxy', taken['gateway'], taken['haproxy-1t'], 0.8, True)
            yield ratio(1, 'instructions with journal / HAProxy', taken['journal'], taken['haproxy-1t'])
            return
        taken = {name: [sample['cpu_us'] for sample in samples] for name, samples in loads(rig, subjects, 100).items()}
        note = 'perf does not count here: CPU time in place of instructions'
        yield ratio(1, 'CPU time, gateway / HAProxy', taken['gateway'], taken['haproxy-1t'], 0.8, True, note)
        yield ratio(1, 'CPU time with journal / HAProxy', taken['journal'], taken['haproxy-1t'])
    with rig.bank() as bank:
        proxy = callgrind(rig, lambda before: rig.haproxy(bank, 1, before), 100)
        gateway = callgrind(rig, lambda before: rig.gateway(bank, before=before), 100)
    rig.options.tell('    user instructions: HAProxy %.0f, gateway %.0f' % (proxy, gateway))
    yield Value(1, 'user instructions (callgrind), gateway', [gateway], note='HAProxy has %.0f; the kernel’s are not in' % proxy)


def row_2(rig):
    """tx/s, gateway / HAProxy two threads, at 100, 1,000 and 9,800 connections"""
    with rig.bank() as bank, rig.haproxy(bank, 2) as proxy, rig.gateway(bank) as gateway, \
            rig.gateway(bank, journal='power') as durable:
        subjects = {'haproxy-2t': proxy, 'gateway': gateway, 'journal': durable}
        for conns, bar in ((100, 1.0), (1000, 1.5), (MANY, 1.4)):
            taken = {name: rates(samples) for name, samples in loads(rig, subjects, conns).items()}
            yield ratio(2, 'tx/s, gateway / HAProxy at %d' % conns, taken['gateway'], taken['haproxy-2t'], bar)
            yield ratio(2, 'tx/s with journal / HAProxy at %d' % conns, taken['journal'], taken['haproxy-2t'])


def row_3(rig):
    """tx/s, gateway / direct to the bank at 100 connections"""
    with rig.bank() as bank, rig.gateway(bank) as gateway, rig.gateway(bank, journal='power') as durable:
        subjects = {'direct': bank, 'gateway': gateway, 'journal': durable}
        taken = {name: rates(samples) for name, samples in loads(rig, subjects, 100).items()}
        yield ratio(3, 'tx/s, gateway / direct at 100', taken['gateway'], taken['direct'], 0.9)
        yield ratio(3, 'tx/s with journal / direct at 100', taken['journal'], taken['direct'])


def row_4(rig):
    """one connection per request: tx/s / SocketQueue's recorded rate, its recorded instructions / ours"""
    flags, named = ['--reconnect'], {'framing': 'none'}
    with rig.bank() as bank, rig.gateway(bank, framing='none') as gateway:
        taken = rounds(rig, {'gateway': lambda: rig.load(gateway, 100, *flags, **named)})['gateway']
        rate = [sample['tps'] / SOCKETQUEUE_RATE for sample in taken]
        yield Value(4, 'tx/s / SocketQueue’s %d' % SOCKETQUEUE_RATE, rate, 15, note='recorded on another day')
        if rig.perf:
            cost = rounds(rig, {'gateway': lambda: rig.instructions(gateway, 100, *flags, **named)})['gateway']
            yield Value(4, 'SocketQueue’s instructions / ours', [SOCKETQUEUE_INSTRUCTIONS / one for one in cost], 35)
            return
    with rig.bank() as bank:
        cost = callgrind(rig, lambda before: rig.gateway(bank, framing='none', before=before), 100, *flags, **named)
    yield Value(4, 'SocketQueue’s user instructions / ours (callgrind)', [SOCKETQUEUE_USER / cost],
                note='ours: %.0f; perf does not count here, and the kernel’s are not in' % cost)


def row_5(rig):
    """open loop, 10,000 tx/s over 500 connections: what gateway and HAProxy add to the latency of direct"""
    with rig.bank() as bank, rig.haproxy(bank, 1) as proxy, rig.gateway(bank) as gateway:
        subjects = {'direct': bank, 'haproxy-1t': proxy, 'gateway': gateway}
        taken = loads(rig, subjects, 500, '--mode', 'open', '--rate', str(rig.options.rate))
    for name, key in (('p50', 'p50_us'), ('p99', 'p99_us')):
        at = {subject: [sample[key] for sample in samples] for subject, samples in taken.items()}
        added = lambda subject: [max(FLOOR_US, own - direct) for own, direct in zip(at[subject], at['direct'])]
        note = ', '.join('%s %.0f µs' % (subject, statistics.median(samples)) for subject, samples in at.items())
        yield ratio(5, '%s added, gateway / HAProxy' % name, added('gateway'), added('haproxy-1t'), 1.5, True, note)
    tail = {subject: [sample['p999_us'] for sample in samples] for subject, samples in taken.items()}
    yield ratio(5, 'p99.9, gateway / direct', tail['gateway'], tail['direct'], 1.5, True)


def row_6(rig):
    """tx/s of the gateway at 9,800 connections / at 100"""
    with rig.bank() as bank, rig.gateway(bank) as gateway:
        taken = rounds(rig, {str(conns): (lambda conns=conns: rig.load(gateway, conns)) for conns in (100, MANY)})
    yield ratio(6, 'tx/s at %d / at 100' % MANY, rates(taken[str(MANY)]), rates(taken['100']), 0.4)


def row_7(rig):
    """resident memory of the gateway for each of 9,800 connections: idle, and after one transaction on each"""
    def grown(bank, *flags):
        with rig.gateway(bank) as gateway:
            before = gateway.rss()
            clients = rig.clients(gateway.port, MANY, *flags, seconds=8, warmup=0)
            # All connections are made first; then each asks once, or not at all.
            time.sleep(7)
            after = gateway.rss()
            rig.finish(clients, idle=True)
            return (after - before) / MANY / 1024

    with rig.bank() as bank:
        taken = rounds(rig, {
            'idle': lambda: grown(bank, '--idle-hold'),
            # A think time that is longer than the run: one transaction each.
            'after one': lambda: grown(bank, '--think-us', '60000000'),
        })
    yield Value(7, 'KiB per idle connection', taken['idle'], 1.5, True)
    yield Value(7, 'KiB per connection after one transaction', taken['after one'], 4, True)


def row_10(rig):
    """journal on (power), tx/s / without, at 100 and 1,000 connections; and with syncs of a given length"""
    with rig.bank() as bank, rig.gateway(bank) as plain:
        with rig.gateway(bank, journal='power') as durable:
            for conns, bar in ((100, 0.6), (1000, 0.7)):
                taken = loads(rig, {'without': plain, 'journal': durable}, conns)
                yield ratio(10, 'tx/s, journal / without at %d' % conns, rates(taken['journal']), rates(taken['without']), bar)
        for ms in (0.1, 1, 5):
            with rig.gateway(bank, journal='power', sync_us=int(ms * 1000)) as slow:
                for conns in (100, 1000):
                    taken = rounds(rig, {
                        'round trip': lambda: rig.load(plain, 1),
                        'without': lambda conns=conns: rig.load(plain, conns),
                        'slow': lambda conns=conns: rig.load(slow, conns),
                    })
                    limits = [min(without['tps'], conns / (ms / 1e3 + trip['p50_us'] / 1e6))
                              for without, trip in zip(taken['without'], taken['round trip'])]
                    yield ratio(10, 'tx/s / possible, sync %g ms at %d' % (ms, conns), rates(taken['slow']), limits, 0.8)


def row_11(rig):
    """HTTP JSON keep-alive tx/s / binary persistent tx/s of the gateway, 100 connections"""
    with rig.bank() as bank, rig.gateway(bank) as binary, rig.gateway(bank, http=True) as http:
        taken = rounds(rig, {'binary': lambda: rig.load(binary, 100), 'http': lambda: rig.load(http, 100, '--http')})
    yield ratio(11, 'tx/s, HTTP JSON / binary at 100', rates(taken['http']), rates(taken['binary']), 0.4)


def row_12(rig):
    """pipelined: 10 connections × 32 outstanding, gateway / direct"""
    with rig.bank() as bank, rig.gateway(bank) as gateway:
        taken = loads(rig, {'direct': bank, 'gateway': gateway}, 10, '--pipeline', '32', '--tids', 'per-request:32')
    yield ratio(12, 'tx/s, gateway / direct, 10 × 32', rates(taken['gateway']), rates(taken['direct']), 0.25)


def row_14(rig):
    """resident memory after 10 million transactions / after 1 million"""
    few = int(rig.options.millions * 100_000)
    with rig.bank() as bank, rig.gateway(bank) as gateway:
        sent, at_few = 0, None
        while sent < 10 * few:
            # A little at a time, so that the first figure is not far behind its mark.
            sent += rig.load(gateway, 100, seconds=5, warmup=0)['sent']
            rss = gateway.rss()
            rig.options.tell('    %.2f million: %.1f MiB' % (sent / 1e6, rss / 2**20))
            if at_few is None and sent >= few:
                at_few = rss
    yield Value(14, 'RSS after %g / after %g million' % (10 * few / 1e6, few / 1e6), [rss / at_few], 1.02, True)


ROWS = {int(name[4:]): row for name, row in list(globals().items()) if name.startswith('row_')}
