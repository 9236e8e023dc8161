"""How much the service costs, as ratios that hold on any machine.

A rate on a shared machine says little. So every rate is answers per second
of the *server's* CPU, and every row is divided by an echo on the same server
stack (`app.server.uvicorn_options`, one process), measured right before it.

The load comes from this process: raw protocols that send bytes made
beforehand and count whole answers, one question in flight on each of a few
connections, so that the server is what is slow. A run in which the generator
used more than `MAX_GENERATOR_CORES`, or other programs more than
`MAX_OTHER_CORES`, is repeated, a bounded number of times, and rows that
stayed disturbed say so.

    crowd, proxy -> stage -> cpu, load -> runner -> what is measured:
    measure, broadcast, inside, redis_use, processes, sockets
    -> suite -> report

The servers under load are processes of their own (`target`): the echo, the
service with the package `app.bench.package` added as any team adds its own,
and for contrast the way such services are often written (`naive`). Every
connection is another user's (`crowd`). Limits are kept, and set so high that
no user comes near them; everything else is as in production.
"""
