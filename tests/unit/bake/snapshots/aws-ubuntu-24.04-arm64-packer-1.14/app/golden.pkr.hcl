# The app layer of guestbook, for Packer 1.14.0. Variables: golden.auto.pkrvars.json; to build by hand: README.txt.

source "amazon-ebs" "golden" {
  region     = var.region
  source_ami = var.source_ami

  ami_name        = var.ami_name
  ami_description = var.ami_description
  tags            = var.tags
  snapshot_tags   = var.tags
  run_tags        = var.run_tags
  run_volume_tags = var.run_tags

  # Require IMDSv2 on the builder and on every instance of the AMI.
  imds_support = "v2.0"
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  instance_type = var.instance_type
  # Terminates the builder when it powers off at the deadline below. (Packer stops it through the API.)
  shutdown_behavior = "terminate"

  # If empty, Packer creates a temporary security group that allows SSH from here only.
  security_group_ids = var.security_group_ids

  temporary_security_group_source_cidrs = var.ssh_cidrs

  launch_block_device_mappings {
    device_name = var.root_device
    volume_type = var.volume_type
    volume_size = var.volume_size
    iops        = var.volume_iops
    throughput  = var.volume_throughput

    # encrypt_boot would copy the finished AMI once more.
    encrypted = var.encrypted

    delete_on_termination = true
  }

  # Wait up to an hour for the snapshot; the default polls only every 15 seconds.
  aws_polling {
    delay_seconds = 1
    max_attempts  = 3600
  }

  communicator           = "ssh"
  ssh_username           = var.ssh_username
  ssh_private_key_file   = var.ssh_private_key_file
  ssh_timeout            = "10m"
  ssh_handshake_attempts = 100

  # User data installs the run's key: no key pair remains in the account, and new sshds reject the RSA keys of old Packers.
  user_data = <<-EOT
    #!/bin/bash
    # Authorizes the run's key.
    user='${var.ssh_username}'
    home=$(getent passwd "$user" | cut -d: -f6)
    install -d -m 700 -o "$user" -g "$user" "$home/.ssh"
    echo '${chomp(file(var.ssh_public_key_file))}' >>"$home/.ssh/authorized_keys"
    chown "$user:" "$home/.ssh/authorized_keys"
    chmod 600 "$home/.ssh/authorized_keys"
    # An orphaned builder powers off after four hours, which terminates it. (--no-block, because the boot has not finished.)
    systemd-run --no-block --unit=golden-deadline --on-active=4h systemctl poweroff
  EOT
}

build {
  sources = ["source.amazon-ebs.golden"]

  provisioner "shell" {
    inline = ["mkdir -p /var/tmp/golden/files /var/tmp/golden/report"]
  }

  provisioner "file" {
    source      = "recipe.env"
    destination = "/var/tmp/golden/recipe.env"
  }

  provisioner "file" {
    source      = "files/"
    destination = "/var/tmp/golden/files"
  }

  provisioner "file" {
    source      = "source.tar.gz"
    destination = "/var/tmp/golden/source.tar.gz"
  }

  provisioner "shell" {
    script          = "scripts/10-wait-for-boot.sh"
    execute_command = "sudo -E env GOLDEN=/var/tmp/golden bash '{{ .Path }}'"
  }

  provisioner "shell" {
    script          = "scripts/20-source.sh"
    execute_command = "sudo -E env GOLDEN=/var/tmp/golden bash '{{ .Path }}'"
  }

  provisioner "shell" {
    script          = "scripts/30-build.sh"
    execute_command = "sudo -E env GOLDEN=/var/tmp/golden bash '{{ .Path }}'"
  }

  provisioner "shell" {
    script          = "scripts/40-service.sh"
    execute_command = "sudo -E env GOLDEN=/var/tmp/golden bash '{{ .Path }}'"
  }

  provisioner "shell" {
    script          = "scripts/80-validate-app.sh"
    execute_command = "sudo -E env GOLDEN=/var/tmp/golden bash '{{ .Path }}'"
  }

  provisioner "shell" {
    script          = "scripts/85-empty-database.sh"
    execute_command = "sudo -E env GOLDEN=/var/tmp/golden bash '{{ .Path }}'"
  }

  # The report is downloaded before the cleanup deletes it.
  provisioner "file" {
    direction   = "download"
    source      = "/var/tmp/golden/report/"
    destination = "./"
  }

  provisioner "shell" {
    script          = "scripts/90-cleanup.sh"
    execute_command = "sudo -E env GOLDEN=/var/tmp/golden bash '{{ .Path }}'"
  }

  provisioner "shell" {
    script          = "scripts/95-assert-clean.sh"
    execute_command = "sudo -E env GOLDEN=/var/tmp/golden bash '{{ .Path }}'"
  }

  post-processor "manifest" {
    output      = "packer-manifest.json"
    strip_path  = true
    custom_data = var.manifest
  }
}
