# The app layer of guestbook, for Packer 1.14.0. Values: golden.auto.pkrvars.json; by hand: README.txt.

source "amazon-ebs" "golden" {
  region     = var.region
  source_ami = var.source_ami

  ami_name        = var.ami_name
  ami_description = var.ami_description
  tags            = var.tags
  snapshot_tags   = var.tags
  run_tags        = var.run_tags
  run_volume_tags = var.run_tags

  # IMDSv2 only: for the builder, and for every instance of the AMI.
  imds_support = "v2.0"
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  instance_type = var.instance_type
  # The machine ends for good when it powers itself off, see the deadline below. (Packer stops it through the API.)
  shutdown_behavior = "terminate"

  # Without a group of ours, Packer makes one for the time of the build, which lets SSH in from here only.
  security_group_ids = var.security_group_ids

  temporary_security_group_source_cidrs = var.ssh_cidrs

  launch_block_device_mappings {
    device_name = var.root_device
    volume_type = var.volume_type
    volume_size = var.volume_size
    iops        = var.volume_iops
    throughput  = var.volume_throughput

    # Encrypted from the start: encrypt_boot would copy the finished AMI once more.
    encrypted = var.encrypted

    delete_on_termination = true
  }

  # An hour for the snapshot, looked at every second; the default looks every fifteen.
  aws_polling {
    delay_seconds = 1
    max_attempts  = 3600
  }

  communicator           = "ssh"
  ssh_username           = var.ssh_username
  ssh_private_key_file   = var.ssh_private_key_file
  ssh_timeout            = "10m"
  ssh_handshake_attempts = 100

  # The run's own key goes in by user data: no key pair is left in the account, and new sshds refuse the RSA keys of old Packers.
  user_data = <<-EOT
    #!/bin/bash
    # Lets the run's own key in.
    user='${var.ssh_username}'
    home=$(getent passwd "$user" | cut -d: -f6)
    install -d -m 700 -o "$user" -g "$user" "$home/.ssh"
    echo '${chomp(file(var.ssh_public_key_file))}' >>"$home/.ssh/authorized_keys"
    chown "$user:" "$home/.ssh/authorized_keys"
    chmod 600 "$home/.ssh/authorized_keys"
    # The deadline: a builder that nobody comes back for powers itself off, and so ends. (Not waited for: boot is under way.)
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

  # What the scripts found out comes home, as the folder report/, before they are wiped away.
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
