"""Losses: elementwise, pure, usable alone. See docs/equations.md.

Each loss takes what is learnt first and the target second, returns one value per
example or per cell, and lets no gradient reach the target. The caller takes means and
applies masks and weights.
"""

from dst_jax.losses.anchor_classification import cross_entropy as cross_entropy
from dst_jax.losses.anchor_classification import log_odds as log_odds
from dst_jax.losses.anchor_classification import softmax_kl as softmax_kl
from dst_jax.losses.anchor_classification import softmax_sharing as softmax_sharing
from dst_jax.losses.classification import balanced_mean as balanced_mean
from dst_jax.losses.classification import balanced_weights as balanced_weights
from dst_jax.losses.classification import logistic as logistic
from dst_jax.losses.detection import corner_l1 as corner_l1
from dst_jax.losses.detection import focal as focal
from dst_jax.losses.detection import giou as giou
from dst_jax.losses.feature import cheapest_pair_form as cheapest_pair_form
from dst_jax.losses.feature import pair_distance as pair_distance
from dst_jax.losses.feature import point_distance as point_distance
from dst_jax.losses.regression import bounded_gate as bounded_gate
from dst_jax.losses.regression import bounded_regression as bounded_regression
from dst_jax.losses.regression import l1 as l1
from dst_jax.losses.regression import regression_sharing as regression_sharing
from dst_jax.losses.regression import smooth_l1 as smooth_l1
from dst_jax.losses.reinforce import advantages as advantages
from dst_jax.losses.reinforce import ema_baseline as ema_baseline
from dst_jax.losses.reinforce import mean_baseline as mean_baseline
from dst_jax.losses.reinforce import reinforce as reinforce
from dst_jax.losses.response import activation_map as activation_map
from dst_jax.losses.response import search_response as search_response
from dst_jax.losses.response import search_response_loss as search_response_loss
from dst_jax.losses.response import siamese_target_response as siamese_target_response
from dst_jax.losses.response import target_weight as target_weight
from dst_jax.losses.response import template_response_loss as template_response_loss
from dst_jax.losses.sharing import gate as gate
from dst_jax.losses.sharing import knowledge_sharing as knowledge_sharing
from dst_jax.losses.sharing import sharing_normaliser as sharing_normaliser
from dst_jax.losses.sharing import sharing_schedule as sharing_schedule
from dst_jax.losses.sharing import sharing_weight as sharing_weight
from dst_jax.losses.sharing import sigma as sigma
from dst_jax.losses.soft import bernoulli_divergence as bernoulli_divergence
from dst_jax.losses.soft import bernoulli_kl as bernoulli_kl
from dst_jax.losses.soft import spatial_kl as spatial_kl
from dst_jax.losses.token import least_salience as least_salience
from dst_jax.losses.token import most_salient as most_salient
from dst_jax.losses.token import salience as salience
from dst_jax.losses.token import salience_weights as salience_weights
from dst_jax.losses.token import token_kl as token_kl
from dst_jax.losses.token import token_mse as token_mse
