"""The demo's order desk as a world of `lar sweep`.

lar demo -o demo
lar sweep demo/corpus --model demo/model --hold-out 0.1 --options demo/student/distillation.json \
    --max-steps 150 --success benches/arms/desk.py:solved --tolerance 0.03 -o sweep/
"""

from lar.demo.online import run_online
from lar.demo.run import DemoOptions
from lar.demo.session import TicketSession
from lar.demo.tasks import held_out_tasks, training_tasks
from lar.distillation import Student

TICKETS = 200


def solved(student: Student) -> tuple[bool, ...]:
    """Whether the student solves each of 200 tickets that the demo's expert has not demonstrated."""
    options = DemoOptions()
    known = training_tasks(options.training_tasks, options.seed)
    tickets = held_out_tasks(TICKETS, options.seed, known)
    return run_online(student, [TicketSession(ticket) for ticket in tickets]).solved
