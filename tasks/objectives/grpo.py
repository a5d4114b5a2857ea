"""Group relative policy optimisation (Shao et al. 2024, arXiv:2402.03300, eq. 3), by trl: several answers to a prompt,
each better or worse than their mean.
"""

from typing import Annotated, Literal

from pydantic import Field

from tasks import objectives
from tasks.models import lm, prompted
from tasks.models.prompted import Sampled

summary = "to earn reward, by comparing its answers to a prompt (GRPO)"
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
    """GRPO; names are trl's. A training batch is per_device_train_batch_size × gradient_accumulation_steps answers,
    `num_generations` of them to each prompt.
    """

    kind: Literal["grpo"]
    num_generations: Annotated[int, Field(ge=2, le=4096, description="answers to a prompt, which are compared")] = 8
    beta: Annotated[float, Field(ge=0, le=10, description="weight of the KL divergence to the parent in the loss")] = (
        0.04
    )
    loss_type: Literal["grpo", "bnpo", "dr_grpo", "dapo"] = Field(
        default="dapo", description="what the loss is divided by: see trl's GRPOConfig"
    )
    scale_rewards: Literal["group", "batch", "none"] = Field(
        default="group",
        description="divide advantages by the standard deviation of their group, which favours prompts that are nearly "
        "always or never answered well, of the batch, or not (Dr. GRPO)",
    )
    importance_sampling_level: Literal["token", "sequence"] = Field(
        default="token", description="what is clipped: ratios of tokens, or of answers (GSPO)"
    )
