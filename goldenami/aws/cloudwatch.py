"""CloudWatch alarms: which of them are going off.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
"""

from __future__ import annotations

from collections.abc import Sequence

from goldenami.aws.session import AwsSession


def firing(aws: AwsSession, names: Sequence[str]) -> list[str]:
    """Those of these alarms, metric or composite, that are in ALARM; asks nothing when there are none."""
    if not names:
        return []
    found = aws.client("cloudwatch").describe_alarms(
        AlarmNames=list(names), AlarmTypes=["MetricAlarm", "CompositeAlarm"], StateValue="ALARM"
    )
    told = [*found.get("MetricAlarms", []), *found.get("CompositeAlarms", [])]
    return sorted(alarm["AlarmName"] for alarm in told)
