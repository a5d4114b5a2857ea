"""REINFORCE with the mean reward of the other answers as baseline (leave one out; Ahmadian et al. 2024,
arXiv:2402.14740, eq. 8), by trl.
"""

from typing import Annotated, Literal

from pydantic import Field

from tasks import objectives
from tasks.models import lm, prompted
from tasks.models.prompted import Sampled

summary = "to earn reward, each answer against the mean of the others (RLOO)"
eats = prompted.EATS
head: objectives.Head = "lm"
online = "groups"
needs_parent = False  # a tuner that does not keep it has another copy loaded
shares_prefix = False
rate_share = 0.05  # 1e-5 for LoRA
watch = ("eval_loss", False)
packs, arrange = objectives.never_packs, prompted.arrange
architectures = lm.ARCHITECTURES
processor, check, parent = lm.processor, lm.check, lm.parent
with_head, body, with_body, save_head = lm.with_head, lm.body, lm.with_body, lm.save_head
encode, trained_on = prompted.encode, prompted.trained_on
collate, loss = objectives.by_its_trainer, objectives.by_its_trainer


class Params(Sampled):
    """RLOO; names are trl's. A training batch is per_device_train_batch_size × gradient_accumulation_steps answers,
    `num_generations` of them to each prompt.
    """

    kind: Literal["rloo"]
    num_generations: Annotated[int, Field(ge=2, le=4096, description="answers to a prompt, which are compared")] = 4
    beta: Annotated[
        float, Field(ge=0, le=10, description="weight of the KL divergence to the parent, subtracted from the reward")
    ] = 0.05
    normalize_advantages: bool = Field(
        default=False, description="shift and scale the advantages of a batch to mean 0 and standard deviation 1"
    )
