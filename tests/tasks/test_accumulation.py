"""Accumulated batches train as whole ones, whatever is learnt: 1 x 8 = 2 x 4 = 8 x 1 rows, also in the last step of an
epoch, which has 4 of the 12 rows.

For answers, weighted or not, test_trainer.py says so; for preferences test_preference_losses.py.
"""

import pytest

from tests.tasks import matrix
from tests.tasks.matrix import prepared

pytestmark = pytest.mark.slow  # each test trains


@pytest.mark.parametrize("objective", ["classify", "tag", "pretrain"])
def test_accumulated_batches_train_as_whole_ones_also_in_the_last_step_of_an_epoch(base, encoder, tmp_path, objective):
    import torch

    from tasks.device import seed_everything
    from tasks.stages.train.fit import make_trainer
    from tasks.stages.train.params import Train
    from tasks.stages.train.ready import ready

    parent = base if objective == "pretrain" else encoder
    rows = prepared(tmp_path / "rows", objective, parent)
    learnt = {}
    for size in (8, 4, 1):
        accumulated = {"per_device_train_batch_size": size, "gradient_accumulation_steps": 8 // size}
        alone = {"num_train_epochs": 2, "optim": "sgd", "max_grad_norm": 1.0e9, "learning_rate": 0.01}
        if objective != "pretrain":
            alone["dropout"] = 0.0
        params = Train(**matrix.settings(objective, "full", **accumulated, **alone))
        begun = ready(params, parent, rows)
        kept = {name: split[:12] for name, split in begun.rows.items()}
        seed_everything(params.seed)
        made, _ = make_trainer(params, parent, begun.processor, kept, tmp_path / str(size))
        start = torch.cat([weight.detach().flatten().clone() for weight in made.learnt().values()])
        made.train()
        assert made.state.global_step == 4
        learnt[size] = torch.cat([weight.flatten() for weight in made.learnt().values()]) - start
    assert learnt[8].norm() > 0
    for size in (4, 1):
        assert (learnt[size] - learnt[8]).norm() < 1e-3 * learnt[8].norm()
