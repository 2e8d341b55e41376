"""Prints the figures of `throughput` in a few lines."""

from typing import Any


def print_table(record: dict[str, Any]) -> None:
    """Print the record's figures."""
    setting = record["setting"]
    units, supervised = setting["units_per_base_token"], setting["supervised_share_of_units"]
    print(f"\n{setting['shape']} on {setting['device']}, {setting['dtype']}, {setting['attention']}")
    print(f"{units:.3f} units a base token, {supervised:.0%} of them supervised")
    if "matmul" in record:
        print(f"{'plain product':<25} {record['matmul']['flops'] / 1e12:9.3f} TFLOP/s")
    if "score" in record:
        score = record["score"]
        print(
            f"{'lar.score':<25} {score['flops'] / 1e12:9.3f} TFLOP/s, {score['share_of_matmul']:.1%} of that"
        )
        print(f"{'':<25} {score['tokens_per_second']:9,.0f} tokens/s {_gib(score['memory'])}")
        print(f"{'':<25} {score['operations_per_token'] / 1e9:9.2f} GFLOP a token")
    for arm, found in record.get("distill", {}).items():
        rate = f"{found['base_tokens_per_second']:9,.0f} base tokens/s {found['rate_ratio']:6.3f}x"
        start = f" {found['start_seconds']:8.1f} s to start its rows" if found["start_seconds"] else ""
        print(f"{arm:<25} {rate} {_gib(found['memory'])} {found['memory_ratio']:6.3f}x{start}")


def _gib(size: float) -> str:
    return f"{size / 2**30:7.2f} GiB"
