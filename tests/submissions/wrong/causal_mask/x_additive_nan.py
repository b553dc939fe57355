"""(1 - mask) * -inf is NaN where the mask is True."""
# cause: additive-zero-times-infinity

import torch as th


def causal_mask(query_len, key_len=None):
	if key_len is None:
		key_len = query_len
	# 过去的 token 全部可见
	过去 = th.ones(query_len, key_len - query_len, dtype=th.bool)
	# 新的 token 只能看到自己和之前的
	新的 = th.tril(th.ones(query_len, query_len, dtype=th.bool))
	return th.cat((过去, 新的), dim=1)


def additive_mask(mask, dtype=th.float32):
	return (1 - mask.to(dtype)) * float('-inf')
