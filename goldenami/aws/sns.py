"""SNS topics.

Source: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
"""

from __future__ import annotations

from dataclasses import replace

from goldenami.aws.session import AwsSession


def publish(aws: AwsSession, topic: str, subject: str, text: str) -> None:
    """Publish a message to a topic, which may be in another region."""
    region = topic.split(":")[3]
    session = aws if region == aws.region else replace(aws, region=region)
    session.client("sns").publish(TopicArn=topic, Subject=subject, Message=text)
