"""The embedded cloud: moto's AWS API with the machine made real, on this machine's loopback only. `goldenami` never imports this
package: it reaches it as it reaches AWS, through an endpoint URL."""
