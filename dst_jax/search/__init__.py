"""REINFORCE over shrunk networks (DST, section 4.1 and appendix 7.1)."""

from dst_jax.search.config import SearchConfig as SearchConfig
from dst_jax.search.ledger import Ledger as Ledger
from dst_jax.search.ledger import append_step as append_step
from dst_jax.search.ledger import read_ledger as read_ledger
from dst_jax.search.loop import Score as Score
from dst_jax.search.loop import Trial as Trial
from dst_jax.search.loop import best_trial as best_trial
from dst_jax.search.loop import check_rewards as check_rewards
from dst_jax.search.loop import run_search as run_search
from dst_jax.search.masked import expand as expand
from dst_jax.search.masked import make_mask as make_mask
from dst_jax.search.policy import PolicyConfig as PolicyConfig
from dst_jax.search.reward import compression as compression
from dst_jax.search.reward import mean_reward as mean_reward
from dst_jax.search.reward import proposal_overlap as proposal_overlap
from dst_jax.search.reward import reward as reward
from dst_jax.search.space import ACTIONS as ACTIONS
from dst_jax.search.space import ImpossibleError as ImpossibleError
from dst_jax.search.space import check_space as check_space
from dst_jax.search.space import describe as describe
from dst_jax.search.space import shrink as shrink
from dst_jax.search.summary import Summary as Summary
from dst_jax.search.summary import check_summary as check_summary
from dst_jax.search.summary import read_summary as read_summary
from dst_jax.search.summary import write_summary as write_summary
