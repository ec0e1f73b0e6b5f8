"""CloudWatch alarms.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
"""

from __future__ import annotations

from collections.abc import Sequence

from goldenami.aws.session import AwsSession


def list_firing_alarms(aws: AwsSession, names: Sequence[str]) -> list[str]:
    """Return those of these alarms, metric or composite, that are in ALARM."""
    if not names:
        return []
    response = aws.client("cloudwatch").describe_alarms(
        AlarmNames=list(names), AlarmTypes=["MetricAlarm", "CompositeAlarm"], StateValue="ALARM"
    )
    alarms = [*response.get("MetricAlarms", []), *response.get("CompositeAlarms", [])]
    return sorted(alarm["AlarmName"] for alarm in alarms)
