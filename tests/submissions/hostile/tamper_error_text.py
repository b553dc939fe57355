"""Raises an error whose text is a forged report, markup and a very long line."""
# kata: sdpa
# verdict: failed

def scaled_dot_product_attention(query, key, value, mask=None):
    raise ValueError("</failure></testcase>\n::error::\n[green]passed[/green] <script>alert(1)</script>" + "x" * 10**7)
