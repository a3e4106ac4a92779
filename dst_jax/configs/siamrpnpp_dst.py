"""DST on SiamRPN++ (section 5.5, Table 6): students on ResNet-50 and ResNet-18.

Run:     dst-jax distill siamrpnpp_dst --teacher BUNDLE --workdir runs/dst \
             --backbone r50=BUNDLE --backbone r18=BUNDLE \
             --data.sources vid:DIR ytbb:DIR coco:DIR det:DIR
         BUNDLE of --teacher is one of `siamrpnpp_teacher`; nothing is searched.
         --row NOKD trains the students of the rows "w/o".
         dst-jax ablate siamrpnpp_dst --tables 6 trains and compares all of Table 6.
         A classifier of torchvision becomes a backbone by dst-jax convert --source
         imagenet-resnet; its student sees RGB by ImageNet's mean and deviation and is
         given as --student r18=BUNDLE/spec.json.
Expect:  VOT2019 EAO .288 and .271 (w/o: .285 and .255), LaSOT AUC .481 and .465 (.475
         and .443) under a teacher of .302 and .509 in the paper. This recipe has not
         been run to its end.
Deviates: as `siamrpnpp_teacher`, whose data, steps and rates these are, as the paper
         says; it adds no epochs on the ground truth alone. The paper names neither the
         stages that STR compares (here those that the heads read) nor whether TS and KS
         weight boxes as the tracker's own loss does (here they do: plain L1 times 1.2).
         Public code has no ResNet-18; the one here has its blocks by the same rules.
         What the equations leave open is read as in docs/equations.md, each option
         stated in `distill.config.PAPER`.
"""

import dataclasses

from dst_jax.arch import named
from dst_jax.configs import siamrpnpp_teacher
from dst_jax.distill import DistillConfig, Response, literal
from dst_jax.experiment import Experiment

STAGES = ("layer2", "layer3", "layer4")


def experiment() -> Experiment:
    """Returns TSsKD with the paper's weights under the public recipe of SiamRPN++."""
    terms = DistillConfig().with_terms(str=Response(layers=STAGES))
    return dataclasses.replace(
        siamrpnpp_teacher.experiment(),
        students={"r50": named("siamrpnpp-r50"), "r18": named("siamrpnpp-r18")},
        distill=literal(terms),
    )
